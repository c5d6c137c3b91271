package api

// SummaryAnswer is the pool at a glance.
type SummaryAnswer struct {
	AsOfSeq uint64     `json:"as_of_seq"`
	Now     Time       `json:"now"`
	Head    HeadAnswer `json:"head"`
	// Degraded: the log cannot be written; picks go on from the last state.
	Degraded      bool           `json:"degraded"`
	ObserveOnly   bool           `json:"observe_only"`
	GroupsVersion uint64         `json:"groups_version"`
	PolicyVersion uint64         `json:"policy_version"`
	Accounts      AccountCounts  `json:"accounts"`
	Groups        []GroupSummary `json:"groups" nullable:"false" doc:"by provider, then in the order of the groups' priority"`
	// Held are the holds: a human must act on each. At most 100 are listed.
	Held      []SummaryBlock `json:"held" nullable:"false"`
	HeldCount int            `json:"held_count"`
	// ByHand are manual suspensions without an end for over 24 hours. At most 100.
	ByHand      []SummaryBlock `json:"by_hand" nullable:"false"`
	ByHandCount int            `json:"by_hand_count"`
	ClockJump   *ClockJump     `json:"clock_jump,omitempty" doc:"the last jump of the system clock since the start"`
}

// AccountCounts counts the pool.
type AccountCounts struct {
	Total    int `json:"total"`
	Observed int `json:"observed" doc:"known from reports only"`
	Disabled int `json:"disabled"`
}

// GroupSummary counts the configured accounts of one provider for one group.
type GroupSummary struct {
	Provider  string `json:"provider"`
	Group     string `json:"group"`
	Label     string `json:"label"`
	Total     int    `json:"total"`
	Usable    int    `json:"usable"`
	Cooling   int    `json:"cooling"`
	Held      int    `json:"held"`
	Suspended int    `json:"suspended"`
	Disabled  int    `json:"disabled"`
	FirstBack Time   `json:"first_back" doc:"when the first account that cannot serve it comes back by itself"`
	NextProbe Time   `json:"next_probe_at"`
}

// SummaryBlock is one block that a human should look at.
type SummaryBlock struct {
	Account string `json:"account"`
	Target  string `json:"target"`
	Since   Time   `json:"since"`
	Reason  string `json:"reason"`
	By      string `json:"by,omitempty"`
	Seq     uint64 `json:"seq"`
}

// ClockJump is a jump of the system clock against the time that really passed.
type ClockJump struct {
	At      Time    `json:"at"`
	Seconds float64 `json:"seconds"`
	Count   int     `json:"count"`
}

// HeadAnswer identifies the newest record of the log.
type HeadAnswer struct {
	LogID string `json:"log_id"`
	Seq   uint64 `json:"seq"`
	Hash  string `json:"hash"`
	At    Time   `json:"at"`
	// Bytes is the size of the log's file; 0: not known.
	Bytes int64 `json:"bytes,omitempty"`
}

// VerifyAnswer says whether the whole log is what was written.
type VerifyAnswer struct {
	OK      bool       `json:"ok"`
	Head    HeadAnswer `json:"head" doc:"as far as the log was verified"`
	Problem string     `json:"problem,omitempty" doc:"what is wrong"`
	BadSeq  uint64     `json:"bad_seq,omitempty" doc:"the first record that is not what was written"`
}
