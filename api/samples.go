package api

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/abeyance/abeyance/events"
)

// samples are values that stand in documentation, here or of programs that Abeyance
// replaces, and secrets that are no secret.
func samples() []string {
	list := []string{
		"", "admin", "changeme", "change-me", "default", "example", "management-key", "password", "secret", "test", "token",
		"your-api-key", "your-api-key-1", "your-management-key", "your-secret-key", "MANAGEMENT_PASSWORD", "TOKEN", "aby_", "aby_TOKEN", "aby_secret",
	}
	for _, c := range "A0ax-_" {
		list = append(list, tokenPrefix+strings.Repeat(string(c), secretLen))
	}
	return list
}

// check refuses entries that were not made here: a file may be written by hand, or by
// whoever provisions the machine.
func (f *tokensFile) check() error {
	known := map[events.Hash]string{}
	for _, s := range samples() {
		known[sha256.Sum256([]byte(s))] = s
	}
	names, hashes := map[string]bool{}, map[events.Hash]bool{}
	for _, k := range f.Tokens {
		sample, is := known[k.SHA256]
		switch {
		case !validTokenName(k.Name):
			return fmt.Errorf("the token name %q is none", k.Name)
		case is:
			return fmt.Errorf("the token %s is %q, which everybody knows: take it out, and make one with abeyance token create", k.Name, sample)
		case names[k.Name]:
			return fmt.Errorf("two tokens have the name %s", k.Name)
		case hashes[k.SHA256]:
			return fmt.Errorf("the token %s is that of another name too", k.Name)
		case len(k.Scopes) == 0:
			return fmt.Errorf("the token %s has no scope", k.Name)
		}
		names[k.Name], hashes[k.SHA256] = true, true
	}
	return nil
}
