package api

// TokenRow is one token. The token itself is shown only once, when it is made.
type TokenRow struct {
	Name      string  `json:"name"`
	Scopes    []Scope `json:"scopes" nullable:"false"`
	CreatedAt Time    `json:"created_at"`
}

// TokensAnswer lists the tokens by name.
type TokensAnswer struct {
	Items []TokenRow `json:"items" nullable:"false"`
}

// TokenCreate makes a token.
type TokenCreate struct {
	Name   string  `json:"name" doc:"1 to 64 of a-z, 0-9, '.', '_' and '-'; it stands in the log as operator:NAME or proxy:NAME"`
	Scopes []Scope `json:"scopes" minItems:"1"`
}

// TokenCreated is the only answer that holds a token.
type TokenCreated struct {
	TokenRow
	Token string `json:"token"`
}
