package ndjson

import (
	"time"

	"github.com/abeyance/abeyance/events"
)

// data adds the members of an event, by the names that GET /v1/events has for them:
// those of its kind that are set. A test of package api holds them together.
func (o *object) data(event events.Event) {
	switch e := event.(type) {
	case *events.LimitObserved:
		o.limit(e)
	case *events.Suspended:
		o.text("target", e.Target)
		o.time("until", e.Until)
		o.flag("forever", e.Until.IsZero())
		o.text("reason", e.Reason)
	case *events.Lifted:
		o.text("target", e.Target)
		o.text("reason", e.Reason)
	case *events.CooldownCleared:
		o.text("target", e.Target)
		o.time("until", e.Until)
		o.text("reason", e.Reason)
	case *events.RecheckRequested:
		o.text("target", e.Target)
		o.text("reason", e.Reason)
	case *events.Expired:
		o.expired(e)
	case *events.Recovered:
		o.recovered(e)
	case *events.AccountAdded:
		o.spec(&e.Spec)
	case *events.AccountChanged:
		o.spec(&e.Spec)
	case *events.AccountRemoved:
		o.text("reason", e.Reason)
		o.flag("forced", e.Forced)
	case *events.GroupsDefined:
		o.groups(e)
	case *events.PolicyDefined:
		outer := o.begin("definition")
		o.needUint("version", e.Version)
		o.end(outer)
	case *events.Imported:
		o.imported(e)
	case *events.LossAccepted:
		o.loss(e)
	case *events.SettingsChanged:
		o.settings(e.Changes)
	}
}

func (o *object) limit(e *events.LimitObserved) {
	o.text("target", e.Target)
	o.text("provider", e.Provider)
	o.text("model", e.Model)
	o.text("operation", string(e.Operation))
	o.int("status", e.Status)
	o.signal(&e.Signal)
	o.text("class", string(e.Class))
	o.text("effect", string(e.Effect))
	o.text("why", e.Why)
	o.time("until", e.Until)
	o.time("reset", e.Reset)
	if e.Hint != nil {
		o.name("hint")
		o.hint(e.Hint)
	}
	o.lost(e.Lost)
	if e.Clamp != nil {
		outer := o.begin("clamp")
		o.needText("bound", e.Clamp.Bound)
		o.number("asked_seconds", e.Clamp.Asked)
		o.number("given_seconds", e.Clamp.Given)
		o.end(outer)
	}
	o.text("source", e.Source)
	o.int("step", e.Step)
	if s := float64(e.StepLength.Round(time.Millisecond).Milliseconds()) / 1000; s != 0 {
		o.number("step_length_seconds", s)
	}
	o.request(e.RequestID, e.StartedAt, e.ObservedAt)
	o.decision(e.Lease, e.Probe, e.GroupsVersion, e.PolicyVersion)
	o.text("evidence", e.Evidence)
}

func (o *object) signal(s *events.Signal) {
	outer := o.begin("signal")
	o.needText("class", string(s.Class))
	o.needText("scope", string(s.Scope))
	o.text("family", s.Family)
	o.text("window", string(s.Window))
	o.text("reason", s.Reason)
	o.needText("rule", s.Rule)
	o.needInt("classifier", s.Classifier)
	o.end(outer)
}

func (o *object) lost(hints []events.Hint) {
	o.list("lost", len(hints), func(i int) { o.hint(&hints[i]) })
}

// hint appends a hint as a value.
func (o *object) hint(h *events.Hint) {
	outer := o.n
	o.open()
	o.needText("source", h.Source)
	o.needText("raw", h.Raw)
	o.number("seconds", h.Seconds)
	o.needTime("at", h.At)
	o.text("lost", h.Lost)
	o.end(outer)
}

func (o *object) request(id string, started, observed time.Time) {
	o.text("request_id", id)
	o.time("started_at", started)
	o.time("observed_at", observed)
}

// decision adds what a decision rested on.
func (o *object) decision(lease events.Seq, probe bool, groups, policy uint64) {
	o.uint("lease", uint64(lease))
	o.flag("probe", probe)
	o.uint("groups_version", groups)
	o.uint("policy_version", policy)
}

func (o *object) expired(e *events.Expired) {
	o.cells(e.Cells)
	o.text("dimension", string(e.Dimension))
	o.time("due", e.Due)
}

func (o *object) cells(cells []events.Cell) {
	o.list("cells", len(cells), func(i int) {
		outer := o.n
		o.open()
		o.needText("account", cells[i].Account)
		o.needText("target", cells[i].Target)
		o.end(outer)
	})
}

func (o *object) recovered(e *events.Recovered) {
	o.text("target", e.Target)
	o.text("provider", e.Provider)
	o.text("model", e.Model)
	o.text("operation", string(e.Operation))
	o.int("status", e.Status)
	o.request(e.RequestID, e.StartedAt, e.ObservedAt)
	o.decision(e.Lease, e.Probe, e.GroupsVersion, e.PolicyVersion)
}

func (o *object) spec(s *events.AccountSpec) {
	outer := o.begin("spec")
	o.needText("provider", s.Provider)
	o.needInt("priority", s.Priority)
	o.needInt("weight", s.Weight)
	o.needFlag("disabled", s.Disabled)
	o.needFlag("disable_cooling", s.DisableCooling)
	o.needText("origin", string(s.Origin))
	o.text("credential_version", s.CredentialVersion)
	o.end(outer)
}

func (o *object) groups(e *events.GroupsDefined) {
	outer := o.begin("definition")
	o.needUint("version", e.Version)
	o.text("preset", e.Preset)
	o.int("groups", len(e.Groups))
	o.int("aliases", len(e.Aliases))
	o.int("kept", e.Kept)
	o.int("moved", e.Moved)
	o.int("merged", e.Merged)
	o.end(outer)
}

func (o *object) imported(e *events.Imported) {
	o.text("target", e.Target)
	o.text("provider", e.Provider)
	o.text("model", e.Model)
	o.text("class", string(e.Class))
	o.text("source", e.Source)
	o.text("reason", e.Reason)
	outer := o.begin("import")
	o.needTime("cool_until", e.CoolUntil)
	o.needFlag("suspended", e.Suspended)
	o.needTime("suspended_at", e.SuspendedAt)
	o.needText("original", e.Original)
	o.end(outer)
}

func (o *object) loss(e *events.LossAccepted) {
	outer := o.begin("loss")
	o.needText("log", e.Log)
	o.needUint("seq", uint64(e.Seq))
	o.hash("hash", e.Hash)
	o.needUint("from", uint64(e.From))
	o.hash("from_hash", e.FromHash)
	o.end(outer)
}

func (o *object) settings(changes []events.SettingChange) {
	o.list("settings", len(changes), func(i int) {
		outer := o.n
		o.open()
		o.needText("key", changes[i].Key)
		o.needText("from", changes[i].From)
		o.needText("to", changes[i].To)
		o.end(outer)
	})
}
