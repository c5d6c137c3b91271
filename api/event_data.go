package api

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
)

// NewEventRow shows a record with ids as given. A nil book shows them as stored.
func NewEventRow(r events.Record, book *identity.Book) EventRow {
	return EventRow{
		Seq: uint64(r.Seq), At: Time{r.At}, Kind: string(r.Kind()), Account: book.Given(r.Account), Actor: r.Actor,
		OnBehalfOf: r.OnBehalfOf, Via: string(r.Via), CorrelationID: r.CorrelationID, IdempotencyKey: r.IdempotencyKey,
		Text: eventText(r.Event), Data: eventData(r.Event, book), Hash: r.Hash.String(),
	}
}

// eventData shows an event: the members that its kind has.
func eventData(event events.Event, book *identity.Book) EventData {
	switch e := event.(type) {
	case *events.LimitObserved:
		return limitData(e)
	case *events.Suspended:
		return EventData{Target: e.Target, Reason: e.Reason, Until: Time{e.Until}, Forever: e.Until.IsZero()}
	case *events.Lifted:
		return EventData{Target: e.Target, Reason: e.Reason}
	case *events.CooldownCleared:
		return EventData{Target: e.Target, Reason: e.Reason, Until: Time{e.Until}}
	case *events.RecheckRequested:
		return EventData{Target: e.Target, Reason: e.Reason}
	case *events.Expired:
		return expiredData(e, book)
	case *events.Recovered:
		return EventData{
			Target: e.Target, Provider: e.Provider, Model: e.Model, Operation: string(e.Operation), Status: e.Status,
			RequestID: e.RequestID, StartedAt: Time{e.StartedAt}, ObservedAt: Time{e.ObservedAt}, Lease: uint64(e.Lease),
			Probe: e.Probe, Groups: e.GroupsVersion, Policy: e.PolicyVersion,
		}
	case *events.AccountAdded:
		return EventData{Spec: new(specOf(e.Spec))}
	case *events.AccountChanged:
		return EventData{Spec: new(specOf(e.Spec))}
	case *events.AccountRemoved:
		return EventData{Reason: e.Reason, Forced: e.Forced}
	case *events.GroupsDefined:
		return EventData{Definition: &EventRevision{
			Version: e.Version, Preset: e.Preset, Groups: len(e.Groups), Aliases: len(e.Aliases), Kept: e.Kept, Moved: e.Moved, Merged: e.Merged,
		}}
	case *events.PolicyDefined:
		return EventData{Definition: &EventRevision{Version: e.Version}}
	case *events.Imported:
		return EventData{
			Source: e.Source, Target: e.Target, Provider: e.Provider, Model: e.Model, Reason: e.Reason, Class: string(e.Class),
			Import: &EventImport{
				CoolUntil: Time{e.CoolUntil}, Suspended: e.Suspended, SuspendedAt: Time{e.SuspendedAt}, Original: e.Original,
			},
		}
	case *events.LossAccepted:
		return EventData{Loss: &EventLoss{
			Log: e.Log, Seq: uint64(e.Seq), Hash: e.Hash.String(), From: uint64(e.From), FromHash: e.FromHash.String(),
		}}
	case *events.SettingsChanged:
		return settingsData(e)
	default:
		return EventData{} // unreachable: the kinds are sealed
	}
}

func limitData(e *events.LimitObserved) EventData {
	d := EventData{
		Target: e.Target, Provider: e.Provider, Model: e.Model, Operation: string(e.Operation), Status: e.Status,
		Signal: &EventSignal{
			Class: string(e.Signal.Class), Scope: string(e.Signal.Scope), Family: e.Signal.Family, Window: string(e.Signal.Window),
			Reason: e.Signal.Reason, Rule: e.Signal.Rule, Classifier: e.Signal.Classifier,
		},
		Class: string(e.Class), Effect: string(e.Effect), Why: e.Why, Until: Time{e.Until}, Reset: Time{e.Reset},
		Source: e.Source, Step: e.Step, StepLength: wholeMillis(e.StepLength), RequestID: e.RequestID,
		StartedAt: Time{e.StartedAt}, ObservedAt: Time{e.ObservedAt}, Lease: uint64(e.Lease), Probe: e.Probe,
		Groups: e.GroupsVersion, Policy: e.PolicyVersion, Evidence: e.Evidence,
	}
	if e.Hint != nil {
		d.Hint = new(hint(*e.Hint))
	}
	if len(e.Lost) > 0 {
		d.Lost = hints(e.Lost)
	}
	d.Clamp = newClamp(e.Clamp)
	return d
}

func expiredData(e *events.Expired, book *identity.Book) EventData {
	d := EventData{Dimension: string(e.Dimension), Due: Time{e.Due}}
	for _, c := range e.Cells {
		d.Cells = append(d.Cells, CellRef{book.Given(c.Account), c.Target})
	}
	return d
}

func settingsData(e *events.SettingsChanged) (d EventData) {
	for _, c := range e.Changes {
		d.Settings = append(d.Settings, EventSetting(c))
	}
	return d
}

func specOf(s events.AccountSpec) EventSpec {
	return EventSpec{
		Provider: s.Provider, Priority: s.Priority, Weight: s.Weight, Disabled: s.Disabled, DisableCooling: s.DisableCooling,
		Origin: string(s.Origin), CredentialVersion: s.CredentialVersion,
	}
}

// eventText says in a line what happened. It names no account: the row does.
func eventText(event events.Event) string {
	switch e := event.(type) {
	case *events.LimitObserved:
		return limitText(e)
	case *events.Suspended:
		return fmt.Sprintf("%s suspended %s: %s", e.Target, endText(e.Until), e.Reason)
	case *events.Lifted:
		return withReason(e.Target+" lifted", e.Reason)
	case *events.CooldownCleared:
		return withReason(e.Target+" cleared", e.Reason)
	case *events.RecheckRequested:
		return withReason(e.Target+" to be probed now", e.Reason)
	case *events.Expired:
		if len(e.Cells) == 1 {
			return fmt.Sprintf("%s is no longer %s", e.Cells[0].Target, e.Dimension)
		}
		return fmt.Sprintf("%d cells are no longer %s", len(e.Cells), e.Dimension)
	case *events.Recovered:
		if e.Probe {
			return fmt.Sprintf("%s recovered: %s was served to a probe", e.Target, e.Model)
		}
		return fmt.Sprintf("%s recovered: %s was served", e.Target, e.Model)
	case *events.AccountAdded:
		return fmt.Sprintf("%s account of %s added", e.Spec.Origin, e.Spec.Provider)
	case *events.AccountChanged:
		return "account settings changed"
	case *events.AccountRemoved:
		return withReason("account removed", e.Reason)
	case *events.GroupsDefined:
		return fmt.Sprintf("groups version %d: %s, %s", e.Version, counted(len(e.Groups), "group", "groups"), counted(len(e.Aliases), "alias", "aliases"))
	case *events.PolicyDefined:
		return fmt.Sprintf("policy version %d", e.Version)
	case *events.Imported:
		return e.Target + " imported " + projection.ImportText(e)
	case *events.LossAccepted:
		return fmt.Sprintf("the log went on from record %d although it had held record %d: the rest is lost", e.From, e.Seq)
	case *events.SettingsChanged:
		return settingsText(e.Changes)
	default:
		return string(event.Kind())
	}
}

func settingsText(changes []events.SettingChange) string {
	var parts []string
	for _, c := range changes {
		parts = append(parts, fmt.Sprintf("%s from %s to %s", c.Key, cmp.Or(c.From, "nothing"), cmp.Or(c.To, "nothing")))
	}
	return "settings changed: " + strings.Join(parts, ", ")
}

func limitText(e *events.LimitObserved) string {
	what := fmt.Sprintf("HTTP %d for %s is %s", e.Status, cmp.Or(e.Model, e.Provider), e.Class)
	if e.Probe {
		what = "a probe: " + what
	}
	switch e.Effect {
	case events.EffectNone:
		return what + ": nothing blocked (" + e.Why + ")"
	case events.EffectHeld:
		return fmt.Sprintf("%s: %s held until a human acts", what, e.Target)
	case events.EffectStarted:
		return fmt.Sprintf("%s: %s frozen %s", what, e.Target, endText(e.Until))
	case events.EffectExtended:
		return fmt.Sprintf("%s: %s frozen longer, %s", what, e.Target, endText(e.Until))
	default:
		return fmt.Sprintf("%s: %s is blocked already, %s", what, e.Target, endText(e.Until))
	}
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func endText(until time.Time) string {
	if until.IsZero() {
		return "without an end"
	}
	return "until " + until.UTC().Format("2006-01-02 15:04:05 UTC")
}

func withReason(what, reason string) string {
	if reason == "" {
		return what
	}
	return what + ": " + reason
}

func newClamp(c *events.Clamp) *EventClamp {
	if c == nil {
		return nil
	}
	return &EventClamp{Bound: c.Bound, AskedSeconds: c.Asked, GivenSeconds: c.Given}
}
