package api

// WhyAnswer says why a cell, or the cells behind one question, are as they are.
type WhyAnswer struct {
	AsOfSeq  uint64 `json:"as_of_seq"`
	Now      Time   `json:"now" doc:"the instant asked about"`
	Sentence string `json:"sentence" doc:"one plain sentence that answers the question"`
	Status   string `json:"status" enum:"disabled,suspended,held,cooling,available"`
	Account  string `json:"account,omitempty"`
	Provider string `json:"provider"`
	Target   string `json:"target,omitempty"`
	// Cells are explained one by one, those that block first; at most 100 of them.
	Cells         []WhyCell `json:"cells" nullable:"false"`
	CellCount     int       `json:"cell_count" doc:"of all cells, shown or not"`
	GroupsVersion uint64    `json:"groups_version" doc:"in force at the instant asked about"`
	PolicyVersion uint64    `json:"policy_version"`
}

// WhyCell explains one cell. Rule, Evidence, Hint, Lost, Clamp and the versions are
// of the answer that decided the automatic block.
type WhyCell struct {
	Account  string      `json:"account"`
	Target   string      `json:"target"`
	Status   string      `json:"status"`
	Sentence string      `json:"sentence"`
	Rule     string      `json:"rule,omitempty"`
	Evidence string      `json:"evidence,omitempty"`
	Hint     *Hint       `json:"hint,omitempty"`
	Lost     []Hint      `json:"lost,omitempty"`
	Clamp    *EventClamp `json:"clamp,omitempty"`
	// GroupsVersion and PolicyVersion were in force when it was decided.
	GroupsVersion uint64      `json:"groups_version,omitempty"`
	PolicyVersion uint64      `json:"policy_version,omitempty"`
	Causes        []EventRow  `json:"causes" nullable:"false" doc:"the records behind it, oldest first"`
	Ends          []WhyEnding `json:"ends" nullable:"false" doc:"what would end each block in force"`
}

// WhyEnding says what would end a block.
type WhyEnding struct {
	Block string `json:"block" enum:"suspended,held,cooling"`
	At    Time   `json:"at" doc:"when it ends by itself"`
	How   string `json:"how"`
}
