package api

// CellRef names one cell.
type CellRef struct {
	Account string `json:"account"`
	Target  string `json:"target" doc:"a group id, model:NAME or *"`
}

// CellRow is one row of GET /v1/cells: an account and a target, and what blocks it.
// The three blocks are independent; Status is the first of them in force.
type CellRow struct {
	Account   string          `json:"account"`
	Provider  string          `json:"provider"`
	Target    string          `json:"target" doc:"a group id, model:NAME or *"`
	Status    string          `json:"status" enum:"disabled,suspended,held,cooling,available"`
	Cooling   *CellCooling    `json:"cooling" doc:"an automatic block with a deadline"`
	Held      *CellHeld       `json:"held" doc:"an automatic block until a human acts"`
	Suspended *CellSuspension `json:"suspended" doc:"an operator's block"`
}

// CellCooling is a cooldown in force.
type CellCooling struct {
	Until       Time   `json:"until"`
	Class       string `json:"class" doc:"what the answer that started it meant"`
	StartedAt   Time   `json:"started_at"`
	Source      string `json:"source" doc:"where the deadline comes from: the source of a hint, ladder or window"`
	Clamped     bool   `json:"clamped" doc:"the policy's bound cut the deadline"`
	Step        int    `json:"step" doc:"the step of the ladder taken, from 1; 0: a hint decided"`
	NextProbeAt Time   `json:"next_probe_at"`
	Seq         uint64 `json:"seq" doc:"the record that set the deadline"`
}

// CellHeld is a hold in force.
type CellHeld struct {
	Since  Time   `json:"since"`
	Class  string `json:"class"`
	Reason string `json:"reason" doc:"which act is needed: banned, verification_required, ..."`
	Seq    uint64 `json:"seq" doc:"the record that began it"`
}

// CellSuspension is a manual suspension in force.
type CellSuspension struct {
	Reason     string `json:"reason"`
	By         string `json:"by" doc:"the actor, as operator:NAME"`
	OnBehalfOf string `json:"on_behalf_of"`
	Since      Time   `json:"since"`
	Until      Time   `json:"until" doc:"null: without an end"`
	Seq        uint64 `json:"seq"`
}
