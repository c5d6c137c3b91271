package api

// AccountRow is one account of the pool.
type AccountRow struct {
	Account  string `json:"account" doc:"the id as given"`
	Stored   string `json:"stored" doc:"the id in the log: a pseudonym if the id holds an @"`
	Provider string `json:"provider"`
	Priority int    `json:"priority" doc:"higher is served first"`
	Weight   int    `json:"weight" minimum:"1" maximum:"16"`
	Disabled bool   `json:"disabled"`
	// DisableCooling records limits, but never blocks automatically.
	DisableCooling    bool   `json:"disable_cooling"`
	Origin            string `json:"origin" enum:"configured,observed"`
	CredentialVersion string `json:"credential_version"`
	// Available is false if the account is disabled, or everything or every enabled
	// group of its provider is blocked.
	Available bool   `json:"available"`
	AddedAt   Time   `json:"added_at"`
	AddedSeq  uint64 `json:"added_seq"`
}

// AccountPut adds an account or replaces its settings. Omitted settings are reset.
type AccountPut struct {
	Provider          string `json:"provider"`
	Priority          int    `json:"priority,omitempty"`
	Weight            int    `json:"weight,omitempty" minimum:"0" maximum:"16" default:"1"`
	Disabled          bool   `json:"disabled,omitempty"`
	DisableCooling    bool   `json:"disable_cooling,omitempty"`
	CredentialVersion string `json:"credential_version,omitempty" doc:"opaque; a change releases holds"`
	OnBehalfOf        string `json:"on_behalf_of,omitempty"`
}

// AccountPatch changes the settings that are set.
type AccountPatch struct {
	Priority          *int    `json:"priority,omitempty"`
	Weight            *int    `json:"weight,omitempty" minimum:"1" maximum:"16"`
	Disabled          *bool   `json:"disabled,omitempty"`
	DisableCooling    *bool   `json:"disable_cooling,omitempty"`
	CredentialVersion *string `json:"credential_version,omitempty"`
	OnBehalfOf        string  `json:"on_behalf_of,omitempty"`
}

// AccountAnswer is the outcome of a change to an account.
type AccountAnswer struct {
	Change
	Account *AccountRow `json:"account" doc:"null once it is removed"`
}
