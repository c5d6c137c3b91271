package events

import "time"

// Kind names an event's type in storage and on every surface. Kinds and the
// meaning of their fields are for ever: a new meaning is a new kind or field.
type Kind string

// The kinds.
const (
	KindLimitObserved    Kind = "limit_observed"
	KindSuspended        Kind = "suspended"
	KindLifted           Kind = "lifted"
	KindCooldownCleared  Kind = "cooldown_cleared"
	KindRecheckRequested Kind = "recheck_requested"
	KindExpired          Kind = "expired"
	KindRecovered        Kind = "recovered"
	KindAccountAdded     Kind = "account_added"
	KindAccountChanged   Kind = "account_changed"
	KindAccountRemoved   Kind = "account_removed"
	KindGroupsDefined    Kind = "groups_defined"
	KindPolicyDefined    Kind = "policy_defined"
	KindImported         Kind = "imported"
	KindLossAccepted     Kind = "loss_accepted"
	KindSettingsChanged  Kind = "settings_changed"
)

// Kinds lists every kind this binary knows.
func Kinds() []Kind {
	return []Kind{
		KindLimitObserved, KindSuspended, KindLifted, KindCooldownCleared, KindRecheckRequested, KindExpired, KindRecovered,
		KindAccountAdded, KindAccountChanged, KindAccountRemoved, KindGroupsDefined, KindPolicyDefined, KindImported,
		KindLossAccepted, KindSettingsChanged,
	}
}

// Event is a fact in the past tense. The set of events is sealed: only this
// package can add one, because only it can store one. Handle events by pointer.
type Event interface {
	Kind() Kind
	isEvent()
}

// Targets of a block on an account. A target is a group id, ModelTarget+name, or
// TargetAll.
const (
	TargetAll   = "*"
	ModelTarget = "model:"
)

// Cell names one (account, target).
type Cell struct{ Account, Target string }

// Effect says what a limit observation did to its cell.
type Effect string

// The effects. EffectRecovered and EffectAdvice never occur in a limit_observed
// record: they are answers to reports that are recorded otherwise or not at all.
const (
	EffectStarted   Effect = "started"   // a cooldown began
	EffectExtended  Effect = "extended"  // a cooldown got a later deadline
	EffectKept      Effect = "kept"      // the block in force already covers it
	EffectHeld      Effect = "held"      // a hold began
	EffectNone      Effect = "none"      // nothing; Why says why
	EffectRecovered Effect = "recovered" // evidence ended a cooldown or hold
)

// Reasons for [EffectNone], in LimitObserved.Why and in answers to reports.
const (
	WhyNotBlocking    = "class_does_not_block" // the class, scope or policy blocks nothing
	WhyNoModel        = "no_model"             // the answer reaches a model or group, and none is known
	WhyOperation      = "operation"            // not a generate request
	WhyStale          = "stale"                // older than a clear or recovery of the cell
	WhyCoolingOff     = "disable_cooling"      // the account takes no automatic blocks
	WhyModelCellsFull = "model_cells_full"     // 64 model cells, all blocked
	WhyFirstAuth      = "first_auth"           // counted; blocks when repeated in time
	WhyBurst          = "burst"                // began before the deadline that answered it
	WhyPoison         = "poison"               // the request is at fault, not the accounts
	WhyNothingBlocked = "nothing_blocked"      // a success where nothing blocks
	WhyOlderSuccess   = "older_success"        // a success from before the freeze
)

// LimitObserved records an upstream answer that limits: every 429, and every other
// answer that blocks something. It holds everything that deciding it again under
// other rules takes.
type LimitObserved struct {
	Provider  string
	Model     string // as the client named it
	Target    string // the cell's target; empty if the signal reaches none
	Operation Operation
	Status    int // HTTP status
	// Signal without its hints and evidence, which stand below.
	Signal Signal
	// Class is the class decided: Signal.Class, or quota_exhausted for a rate limit
	// that asks for longer than the policy lets one last.
	Class  Class
	Effect Effect
	Why    string    // with EffectNone
	Until  time.Time // the deadline in force after this record; zero: none
	// Reset is the chosen hint's instant before the clamp and the jitter; zero when
	// the ladder decided.
	Reset time.Time
	Hint  *Hint  // the chosen one
	Lost  []Hint // the others; stored with started, extended and held, otherwise only when news to the cell
	Clamp *Clamp
	// Source says where the deadline comes from: a hint's source, "ladder",
	// "window" (the provider's next reset), or empty.
	Source string
	// Step is the ladder step taken, from 1; with WhyFirstAuth the number of the
	// signal within its time; 0: none.
	Step int
	// StepLength is the ladder step's length without jitter.
	StepLength    time.Duration
	RequestID     string
	StartedAt     time.Time // when the request was sent; zero: unknown
	ObservedAt    time.Time // the instant the decision used as now
	Lease         Seq       // the snapshot the account was picked from; 0: none
	Probe         bool
	GroupsVersion uint64
	PolicyVersion uint64
	Evidence      string // stored as Lost is
}

// Suspended records that an operator blocked a cell. A new one replaces the
// reason and end of the one before.
type Suspended struct {
	Target string
	Reason string
	Until  time.Time // zero: forever
}

// Lifted records that an operator ended a manual suspension.
type Lifted struct {
	Target string
	Reason string
}

// CooldownCleared records that an operator ended a cooldown or hold.
type CooldownCleared struct {
	Target string
	Reason string
	Until  time.Time // the deadline that was cut; zero for a hold
}

// RecheckRequested records that an operator asked for a probe now.
type RecheckRequested struct {
	Target string
	Reason string
}

// Dimension is the independent half of a cell that an expiry ended.
type Dimension string

// The dimensions.
const (
	DimensionCooling   Dimension = "cooling"
	DimensionSuspended Dimension = "suspended"
)

// Expired records that the time of some blocks came. It may list several cells
// that fell due together, of one dimension, at most 256.
type Expired struct {
	Cells     []Cell
	Dimension Dimension
	Due       time.Time // the latest of their deadlines
}

// Recovered records that a served request ended a cooldown or hold.
type Recovered struct {
	Target        string
	Provider      string
	Model         string
	Operation     Operation
	Status        int
	RequestID     string
	StartedAt     time.Time
	ObservedAt    time.Time
	Lease         Seq
	Probe         bool
	GroupsVersion uint64
	PolicyVersion uint64
}

// AccountOrigin says who made an account known.
type AccountOrigin string

// The origins. An observed account is offered only to picks that name it.
const (
	OriginConfigured AccountOrigin = "configured"
	OriginObserved   AccountOrigin = "observed"
)

// AccountSpec is what is configured of an account. Its id is the record's account.
type AccountSpec struct {
	Provider       string
	Priority       int // higher is served first
	Weight         int // 1 to 16
	Disabled       bool
	DisableCooling bool // record limits, but never block automatically
	Origin         AccountOrigin
	// CredentialVersion changes when the credential was renewed; a change releases
	// holds. Opaque.
	CredentialVersion string
}

// AccountAdded records that an account joined the pool.
type AccountAdded struct{ Spec AccountSpec }

// AccountChanged records an account's new settings, whole.
type AccountChanged struct{ Spec AccountSpec }

// AccountRemoved records that an account left the pool. Its history stays.
type AccountRemoved struct {
	Reason string
	Forced bool // although a manual suspension was live
}

// GroupsDefined records the whole set of groups and aliases in force.
type GroupsDefined struct {
	Version uint64
	Preset  string  // the bootstrap set merged in: "default", "two-pools", "none"
	Groups  []Group // effective, sorted by id
	Aliases []Alias // sorted by provider, name
	// Configured is the operator's own part as canonical JSON: what a newer binary
	// merges with its newer bootstrap set.
	Configured []byte
	// What became of live cells whose group went away; projection.State.Apply recomputes the
	// moves themselves.
	Kept, Moved, Merged int
}

// PolicyDefined records the whole policy in force.
type PolicyDefined struct {
	Version    uint64
	Policy     Policy
	Configured []byte // the operator's own part as canonical JSON
}

// Imported records a cell's state that came from another system.
type Imported struct {
	Source      string // "cliproxyapi-config", "cds"
	Target      string
	Provider    string
	Model       string
	CoolUntil   time.Time // zero: not cooling
	Suspended   bool
	Reason      string    // of the suspension
	SuspendedAt time.Time // as the source states it; zero: unknown
	Class       Class
	Original    string // the source's own fields, as JSON, scrubbed
}

// LossAccepted records that an operator let the log go on although it lacks records
// that it is known to have held.
type LossAccepted struct {
	// Log, Seq and Hash are of the record that is missing: the newest that the head
	// file names.
	Log  string
	Seq  Seq
	Hash Hash
	// From and FromHash are of the newest record that was left.
	From     Seq
	FromHash Hash
}

// SettingsChanged records what a reload of the configuration changed beside accounts, groups
// and policy, which have records of their own: whether picks are blocked at all, say. A reload
// that changes more than one record holds has several.
type SettingsChanged struct{ Changes []SettingChange }

// SettingChange is one setting, by its key in the configuration, as text; empty: not set.
type SettingChange struct{ Key, From, To string }

// Kind implements Event.
func (*LimitObserved) Kind() Kind { return KindLimitObserved }

// Kind implements Event.
func (*Suspended) Kind() Kind { return KindSuspended }

// Kind implements Event.
func (*Lifted) Kind() Kind { return KindLifted }

// Kind implements Event.
func (*CooldownCleared) Kind() Kind { return KindCooldownCleared }

// Kind implements Event.
func (*RecheckRequested) Kind() Kind { return KindRecheckRequested }

// Kind implements Event.
func (*Expired) Kind() Kind { return KindExpired }

// Kind implements Event.
func (*Recovered) Kind() Kind { return KindRecovered }

// Kind implements Event.
func (*AccountAdded) Kind() Kind { return KindAccountAdded }

// Kind implements Event.
func (*AccountChanged) Kind() Kind { return KindAccountChanged }

// Kind implements Event.
func (*AccountRemoved) Kind() Kind { return KindAccountRemoved }

// Kind implements Event.
func (*GroupsDefined) Kind() Kind { return KindGroupsDefined }

// Kind implements Event.
func (*PolicyDefined) Kind() Kind { return KindPolicyDefined }

// Kind implements Event.
func (*Imported) Kind() Kind { return KindImported }

// Kind implements Event.
func (*LossAccepted) Kind() Kind { return KindLossAccepted }

// Kind implements Event.
func (*SettingsChanged) Kind() Kind { return KindSettingsChanged }

func (*LimitObserved) isEvent()    {}
func (*Suspended) isEvent()        {}
func (*Lifted) isEvent()           {}
func (*CooldownCleared) isEvent()  {}
func (*RecheckRequested) isEvent() {}
func (*Expired) isEvent()          {}
func (*Recovered) isEvent()        {}
func (*AccountAdded) isEvent()     {}
func (*AccountChanged) isEvent()   {}
func (*AccountRemoved) isEvent()   {}
func (*GroupsDefined) isEvent()    {}
func (*PolicyDefined) isEvent()    {}
func (*Imported) isEvent()         {}
func (*LossAccepted) isEvent()     {}
func (*SettingsChanged) isEvent()  {}

// newEvent returns an empty event of the kind, or nil if the kind is unknown.
func newEvent(k Kind) stored {
	switch k {
	case KindLimitObserved:
		return new(LimitObserved)
	case KindSuspended:
		return new(Suspended)
	case KindLifted:
		return new(Lifted)
	case KindCooldownCleared:
		return new(CooldownCleared)
	case KindRecheckRequested:
		return new(RecheckRequested)
	case KindExpired:
		return new(Expired)
	case KindRecovered:
		return new(Recovered)
	case KindAccountAdded:
		return new(AccountAdded)
	case KindAccountChanged:
		return new(AccountChanged)
	case KindAccountRemoved:
		return new(AccountRemoved)
	case KindGroupsDefined:
		return new(GroupsDefined)
	case KindPolicyDefined:
		return new(PolicyDefined)
	case KindImported:
		return new(Imported)
	case KindLossAccepted:
		return new(LossAccepted)
	case KindSettingsChanged:
		return new(SettingsChanged)
	default:
		return nil
	}
}
