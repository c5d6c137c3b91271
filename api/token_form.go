package api

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"regexp"
	"strings"
)

// A token is aby_SCOPES_ID_SECRET: its scopes joined by -, eight characters by which it is
// known in lists, and 32 random bytes in base64. So whoever finds one, in a log or a
// repository, sees what it allows and which one to end, and a scanner knows what it is. Those
// of before were aby_SECRET, and are taken as well.
const (
	tokenPrefix = "aby_"
	tokenBytes  = 32 // of the secret, before it is written in base64
	secretLen   = (tokenBytes*8 + 5) / 6
	maxToken    = 256 // characters of a token
)

// newToken returns a token for scopes, and its id.
func newToken(scopes []Scope) (id, plain string) {
	var random [5 + tokenBytes]byte
	rand.Read(random[:]) // never fails; see crypto/rand
	id = strings.ToLower(base32.StdEncoding.EncodeToString(random[:5]))
	var names []string
	for _, s := range scopes {
		names = append(names, string(s))
	}
	secret := base64.RawURLEncoding.EncodeToString(random[5:])
	return id, tokenPrefix + strings.Join(names, "-") + "_" + id + "_" + secret
}

// tokenHead is what stands between the prefix and the secret.
var tokenHead = regexp.MustCompile(`^(?:[a-z]+(?:-[a-z]+)*_[a-z2-7]{8}_)?$`)

// wellFormed reports whether a text has the form of the tokens made here. What has a shorter
// secret is never looked up, whoever put its hash into the file.
func wellFormed(plain string) bool {
	text, ok := strings.CutPrefix(plain, tokenPrefix)
	if !ok || len(plain) > maxToken || len(text) < secretLen {
		return false
	}
	head, text := text[:len(text)-secretLen], text[len(text)-secretLen:]
	var secret [tokenBytes]byte
	n, err := base64.RawURLEncoding.Strict().Decode(secret[:], []byte(text))
	return err == nil && n == tokenBytes && tokenHead.MatchString(head)
}
