package api

// EventRow is one record of the log.
type EventRow struct {
	Seq            uint64 `json:"seq"`
	At             Time   `json:"at"`
	Kind           string `json:"kind"`
	Account        string `json:"account,omitempty" doc:"empty for facts about the pool"`
	Actor          string `json:"actor" doc:"operator:NAME, proxy:NAME, system:expiry, system:config or import:NAME"`
	OnBehalfOf     string `json:"on_behalf_of,omitempty"`
	Via            string `json:"via" enum:"http,cli,ui,compat,go"`
	CorrelationID  string `json:"correlation_id,omitempty" doc:"one per command"`
	IdempotencyKey string `json:"idempotency_key,omitempty"`
	Text           string `json:"text" doc:"what happened, in a line"`
	// Data is the event itself. Which members it has depends on the kind.
	Data EventData `json:"data"`
	Hash string    `json:"hash" doc:"of the chain, in hex"`
}

// EventData is the event of a record: the members that its kind has and that are
// set.
type EventData struct {
	Target     string         `json:"target,omitempty"`
	Provider   string         `json:"provider,omitempty"`
	Model      string         `json:"model,omitempty" doc:"as the client named it"`
	Operation  string         `json:"operation,omitempty"`
	Status     int            `json:"status,omitempty" doc:"the upstream's HTTP status"`
	Signal     *EventSignal   `json:"signal,omitempty" doc:"what the classifier made of the answer"`
	Class      string         `json:"class,omitempty" doc:"the class decided"`
	Effect     string         `json:"effect,omitempty"`
	Why        string         `json:"why,omitempty" doc:"with effect none"`
	Until      Time           `json:"until,omitzero" doc:"the deadline or end in force after the record"`
	Forever    bool           `json:"forever,omitempty" doc:"a suspension without an end"`
	Reset      Time           `json:"reset,omitzero" doc:"the chosen hint's instant before clamp and jitter"`
	Hint       *Hint          `json:"hint,omitempty" doc:"the one chosen"`
	Lost       []Hint         `json:"lost,omitempty" doc:"the other hints, with why they lost"`
	Clamp      *EventClamp    `json:"clamp,omitempty"`
	Source     string         `json:"source,omitempty" doc:"where the deadline, or an import, comes from"`
	Step       int            `json:"step,omitempty"`
	StepLength float64        `json:"step_length_seconds,omitempty"`
	RequestID  string         `json:"request_id,omitempty"`
	StartedAt  Time           `json:"started_at,omitzero"`
	ObservedAt Time           `json:"observed_at,omitzero"`
	Lease      uint64         `json:"lease,omitempty"`
	Probe      bool           `json:"probe,omitempty"`
	Groups     uint64         `json:"groups_version,omitempty"`
	Policy     uint64         `json:"policy_version,omitempty"`
	Evidence   string         `json:"evidence,omitempty" doc:"the decisive excerpt of the answer, scrubbed"`
	Reason     string         `json:"reason,omitempty"`
	Cells      []CellRef      `json:"cells,omitempty"`
	Dimension  string         `json:"dimension,omitempty" enum:"cooling,suspended"`
	Due        Time           `json:"due,omitzero"`
	Spec       *EventSpec     `json:"spec,omitempty" doc:"an account's settings"`
	Forced     bool           `json:"forced,omitempty"`
	Definition *EventRevision `json:"definition,omitempty" doc:"of groups or policy"`
	Import     *EventImport   `json:"import,omitempty"`
	Loss       *EventLoss     `json:"loss,omitempty"`
	Settings   []EventSetting `json:"settings,omitempty" doc:"that a reload of the configuration changed"`

	// DefinedGroups and DefinedPolicy are long, and no part of lists.
	DefinedGroups *GroupsDefinition `json:"defined_groups,omitempty" doc:"all of it; GET /v1/events/{seq} only"`
	DefinedPolicy *PolicyDefinition `json:"defined_policy,omitempty" doc:"all of it; GET /v1/events/{seq} only"`
}

// EventSignal is what the classifier made of an upstream's answer.
type EventSignal struct {
	Class      string `json:"class"`
	Scope      string `json:"scope"`
	Family     string `json:"family,omitempty"`
	Window     string `json:"window,omitempty"`
	Reason     string `json:"reason,omitempty"`
	Rule       string `json:"rule"`
	Classifier int    `json:"classifier"`
}

// EventClamp says that the policy's bound cut the chosen hint.
type EventClamp struct {
	Bound        string  `json:"bound"`
	AskedSeconds float64 `json:"asked_seconds"`
	GivenSeconds float64 `json:"given_seconds"`
}

// EventSpec is an account's settings.
type EventSpec struct {
	Provider          string `json:"provider"`
	Priority          int    `json:"priority"`
	Weight            int    `json:"weight"`
	Disabled          bool   `json:"disabled"`
	DisableCooling    bool   `json:"disable_cooling"`
	Origin            string `json:"origin"`
	CredentialVersion string `json:"credential_version,omitempty"`
}

// EventRevision is a new version of the groups or of the policy, in figures.
type EventRevision struct {
	Version uint64 `json:"version"`
	Preset  string `json:"preset,omitempty"`
	Groups  int    `json:"groups,omitempty"`
	Aliases int    `json:"aliases,omitempty"`
	Kept    int    `json:"kept,omitempty" doc:"live cells that kept their group"`
	Moved   int    `json:"moved,omitempty"`
	Merged  int    `json:"merged,omitempty"`
}

// EventLoss says which records the log lacks: those after from, up to at least seq.
type EventLoss struct {
	Log      string `json:"log"`
	Seq      uint64 `json:"seq" doc:"the newest record that the log is known to have held"`
	Hash     string `json:"hash"`
	From     uint64 `json:"from" doc:"the newest record that was left"`
	FromHash string `json:"from_hash"`
}

// EventSetting is one setting that changed, as text; empty: it was not set, or is not.
type EventSetting struct {
	Key  string `json:"key" doc:"as in the configuration"`
	From string `json:"from"`
	To   string `json:"to"`
}

// EventImport is what another system said about a cell.
type EventImport struct {
	CoolUntil   Time   `json:"cool_until"`
	Suspended   bool   `json:"suspended"`
	SuspendedAt Time   `json:"suspended_at"`
	Original    string `json:"original"`
}
