package api

// PickRequest asks who may serve a model now.
type PickRequest struct {
	Provider string `json:"provider"`
	Model    string `json:"model" doc:"as the client named it; aliases and thinking suffixes included"`
	// Candidates restricts the choice; empty: the provider's configured accounts.
	Candidates []string `json:"candidates,omitempty" maxItems:"256" doc:"choose among these accounts; one not known counts as unblocked"`
	Exclude    []string `json:"exclude,omitempty" maxItems:"256" doc:"accounts not to return, such as those tried already"`
	DryRun     bool     `json:"dry_run,omitempty" doc:"leave the turn as it is"`
}

// PickAnswer names the account.
type PickAnswer struct {
	Account  string `json:"account"`
	Provider string `json:"provider"`
	Model    string `json:"model"`
	Target   string `json:"target" doc:"the quota group of the model, or model:NAME"`
	Probe    bool   `json:"probe" doc:"this request tests whether a quota is back"`
	Lease    string `json:"lease" doc:"send it with the report: it dates the evidence"`
	// WouldBlock is the status that would have kept the account from being picked,
	// had the server not been told only to observe.
	WouldBlock string `json:"would_block,omitempty" enum:"suspended,held,cooling"`
}
