package cliproxy

import (
	"cmp"
	"strings"

	"github.com/abeyance/abeyance/projection"
)

// The group ids of before, in which image models had a group of their own.
const (
	groupImage = "google-gemini-image"
	groupPro   = "gemini-pro"
	groupFlash = "gemini-flash"
)

// imageGroups returns the groups that took over an entry of the image group, by the
// model it came from.
func imageGroups(model string) []string {
	model = strings.ToLower(model)
	switch {
	case strings.Contains(model, "flash"):
		return []string{groupFlash}
	case strings.Contains(model, "pro"), strings.Contains(model, "image"):
		return []string{groupPro}
	default:
		return []string{groupFlash, groupPro}
	}
}

// state is the fields of an entry of the state section, as they are kept.
type state struct {
	Provider           string `json:"provider,omitempty"`
	GroupID            string `json:"group_id,omitempty"`
	ManualSuspended    bool   `json:"manual_suspended,omitempty"`
	ManualReason       string `json:"manual_reason,omitempty"`
	AutoSuspendedUntil string `json:"auto_suspended_until,omitempty"`
	AutoReason         string `json:"auto_reason,omitempty"`
	SourceModel        string `json:"source_model,omitempty"`
	SourceProvider     string `json:"source_provider,omitempty"`
	ResetTimeSource    string `json:"reset_time_source,omitempty"`
	UpdatedAt          string `json:"updated_at,omitempty"`
	UpdatedBy          string `json:"updated_by,omitempty"`
}

// addState adds what an entry of the state section says: two entries for an image group
// whose model is not known.
func (f *File) addState(place string, m *mapping) error {
	e := projection.ImportEntry{Account: m.text("auth_id")}
	var s state
	s.UpdatedAt, s.AutoSuspendedUntil = m.raw("updated_at"), m.raw("auto_suspended_until")
	e.UpdatedAt, e.CoolUntil = m.time("updated_at"), m.time("auto_suspended_until")
	if on := m.flag("manual_suspended"); on != nil {
		e.Suspended, s.ManualSuspended = *on, *on
	}
	if e.Reason = m.text("manual_reason"); e.Suspended {
		s.ManualReason = keepRaw(e.Reason)
	}
	provider, source := m.text("provider"), m.text("source_provider")
	s.Provider, s.SourceProvider = keep(provider), keep(source)
	e.Provider = providerOf(cmp.Or(source, provider))
	e.Model = m.text("source_model")
	s.SourceModel = keep(e.Model)
	reason := m.text("auto_reason")
	e.Class, s.AutoReason = classOf(reason), keep(reason)
	group := m.text("group_id")
	s.GroupID, s.ResetTimeSource, s.UpdatedBy = keep(group), keep(m.text("reset_time_source")), keep(m.text("updated_by"))
	m.text("label")
	m.text("effective_status") // which follows from the other fields
	if err := m.finish(); err != nil {
		return err
	}
	e.Original = original(s)
	groups := []string{group}
	if strings.EqualFold(group, groupImage) {
		groups = imageGroups(e.Model)
	}
	for _, g := range groups {
		e.Target = g
		f.Entries = append(f.Entries, Entry{place, e})
	}
	return nil
}

// raw returns a field's text, to be kept, and leaves the field.
func (m *mapping) raw(name string) string {
	if n := m.fields[name]; n != nil {
		return keep(n.Value)
	}
	return ""
}

// addGroup adds a definition.
func (f *File) addGroup(m *mapping) error {
	d := Definition{ID: m.text("id"), Label: m.text("label"), Priority: m.number("priority"), Enabled: m.flag("enabled")}
	d.Providers, d.Patterns = m.list("providers"), m.list("patterns")
	if err := m.finish(); err != nil {
		return err
	}
	if g, ok := d.Config(); ok {
		f.Groups = append(f.Groups, g)
	}
	return nil
}
