package hooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events/sidecar"
)

// Bounds of a secret, those of the scheme.
const (
	minKey  = 24 // bytes
	maxKey  = 64
	maxKeys = 4 // an old one and a new one at a time are enough
)

const secretPrefix = "whsec_"

// Secret signs messages. It is never shown.
type Secret struct{ keys [][]byte }

// ReadSecret reads a file that only its owner may read. It holds one secret a line, each
// whsec_ and the base64 of 24 to 64 bytes: with more than one, messages carry a
// signature of each, so that a receiver can change over. A link leads to such a file: it
// is how orchestrators turn a directory of secrets at once.
func ReadSecret(path string) (Secret, error) {
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		return Secret{}, err
	}
	doc, err := sidecar.Read(file)
	if err != nil {
		return Secret{}, err
	}
	s, err := ParseSecret(string(doc))
	if err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// ParseSecret reads what a file of secrets holds. The error does not show it.
func ParseSecret(text string) (Secret, error) {
	var s Secret
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		encoded, ok := strings.CutPrefix(line, secretPrefix)
		if !ok {
			return Secret{}, errors.New("a secret must begin with " + secretPrefix)
		}
		key, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return Secret{}, errors.New("what follows " + secretPrefix + " is not base64")
		}
		if len(key) < minKey || len(key) > maxKey {
			return Secret{}, fmt.Errorf("a secret has %d bytes; it needs %d to %d: make one with echo %s$(openssl rand -base64 32)",
				len(key), minKey, maxKey, secretPrefix)
		}
		s.keys = append(s.keys, key)
	}
	if len(s.keys) == 0 || len(s.keys) > maxKeys {
		return Secret{}, fmt.Errorf("there are %d secrets; one is needed, and at most %d are used", len(s.keys), maxKeys)
	}
	return s, nil
}

// sign returns the value of webhook-signature.
func (s Secret) sign(id string, at time.Time, body []byte) string {
	var signatures []string
	for _, key := range s.keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(signatures, " ")
}

// Equal reports whether two secrets sign alike.
func (s Secret) Equal(o Secret) bool { return slices.EqualFunc(s.keys, o.keys, hmac.Equal) }

// String hides the secret.
func (Secret) String() string { return "(secret)" }

// GoString hides the secret.
func (Secret) GoString() string { return "(secret)" }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue("(secret)") }
