package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/sidecar"
)

// SessionsFile holds who is logged in to the dashboard, as JSON:
//
//	{"version": 1, "id": ID, "sessions": [{"sha256", "token", "token_sha256", "person", "expires_at"}, ...]}
//
// so that a restart logs nobody out. It holds hashes only, and can be deleted: then all
// log in again.
const SessionsFile = "sessions.json"

const (
	sessionsVersion = 1
	// secretLength is that of what a cookie holds: 32 random bytes in base64.
	secretLength = 43
	// sessionLife is how long a login lasts: a working day.
	sessionLife = 12 * time.Hour
	// maxSessions bounds the file; see makeRoom.
	maxSessions = 256
	// sessionCookie begins the cookie's name. What follows is random and of the data
	// directory: browsers do not keep the cookies of two ports apart.
	sessionCookie = "abeyance_"
	// hostCookie is before it with TLS: a browser then takes the cookie from this host
	// alone.
	hostCookie = "__Host-"
)

// Sessions are the logins of browsers: each stands for a token and names a person. Only
// hashes are kept. All methods may be called from several goroutines.
type Sessions struct {
	path   string
	id     string // of the data directory, in the cookie's name
	tokens *Tokens

	mu   sync.Mutex // guards list
	list []session
}

// session is one login; never changed once it is listed.
type session struct {
	SHA256      events.Hash `json:"sha256"` // of what the cookie holds
	Token       string      `json:"token"`  // the name of the token
	TokenSHA256 events.Hash `json:"token_sha256"`
	Person      string      `json:"person"`
	ExpiresAt   time.Time   `json:"expires_at"`

	valid context.Context // ends when the session does
	end   context.CancelFunc
}

type sessionsFile struct {
	Version  int       `json:"version"`
	ID       string    `json:"id"`
	Sessions []session `json:"sessions"`
}

// OpenSessions reads the sessions of a data directory, which must exist. Those of tokens
// that are gone, and those that are over, are left out.
func OpenSessions(dir string, tokens *Tokens) (*Sessions, error) {
	s := &Sessions{path: filepath.Join(dir, SessionsFile), tokens: tokens}
	f, err := s.read()
	if err != nil {
		return nil, err
	}
	if s.id = f.ID; s.id == "" {
		var id [4]byte
		rand.Read(id[:]) // never fails; see crypto/rand
		s.id = hex.EncodeToString(id[:])
	}
	for _, one := range f.Sessions {
		if k := tokens.named(one.Token); k != nil && subtle.ConstantTimeCompare(k.SHA256[:], one.TokenSHA256[:]) == 1 && time.Now().Before(one.ExpiresAt) {
			one.begin(k)
			s.list = append(s.list, one)
		}
	}
	return s, nil
}

func (s *Sessions) read() (f sessionsFile, err error) {
	doc, err := sidecar.Read(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(doc, &f); err != nil {
		return f, fmt.Errorf("%s is damaged: %w; remove it, and all log in again", s.path, err)
	}
	if f.Version != sessionsVersion {
		return f, fmt.Errorf("%s has format version %d, and this version of Abeyance reads %d", s.path, f.Version, sessionsVersion)
	}
	return f, nil
}

// begin makes the session valid for as long as its token is.
func (n *session) begin(k *token) { n.valid, n.end = context.WithDeadline(k.valid, n.ExpiresAt) }

// create logs a person in with a token and returns what the cookie is to hold.
func (s *Sessions) create(k *token, person string) (secret string, n session, err error) {
	var random [32]byte
	rand.Read(random[:]) // never fails; see crypto/rand
	secret = base64.RawURLEncoding.EncodeToString(random[:])
	n = session{
		SHA256: sha256.Sum256([]byte(secret)), Token: k.Name, TokenSHA256: k.SHA256, Person: person,
		ExpiresAt: time.Now().Add(sessionLife).UTC().Truncate(time.Second),
	}
	n.begin(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	if len(s.list) >= maxSessions {
		s.makeRoom()
	}
	s.list = append(s.list, n)
	return secret, n, s.write()
}

// makeRoom ends one session: of the token that has the most, the one that is over first.
// So no token can log out those of the others. The caller holds s.mu.
func (s *Sessions) makeRoom() {
	// count :: token → its sessions
	count := map[string]int{}
	for i := range s.list {
		count[s.list[i].Token]++
	}
	first := slices.MinFunc(s.list, func(a, b session) int {
		return cmp.Or(count[b.Token]-count[a.Token], a.ExpiresAt.Compare(b.ExpiresAt))
	})
	first.end()
	s.sweep()
}

// remove ends a session at once, with the streams that it opened.
func (s *Sessions) remove(n *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n.end()
	s.sweep()
	return s.write()
}

// sweep drops the sessions that are over. The caller holds s.mu.
func (s *Sessions) sweep() {
	s.list = slices.DeleteFunc(s.list, func(n session) bool { return n.valid.Err() != nil })
}

func (s *Sessions) write() error {
	doc, err := json.MarshalIndent(sessionsFile{sessionsVersion, s.id, s.list}, "", "  ")
	if err != nil {
		return err
	}
	if err := sidecar.Write(s.path, append(doc, '\n')); err != nil {
		return fmt.Errorf("writing %s: %w", s.path, err)
	}
	return nil
}

// find returns the session of a request and its token, or nil. Every entry is compared,
// each in constant time.
func (s *Sessions) find(r *http.Request) (*session, *token) {
	if s == nil {
		return nil, nil
	}
	cookie, err := r.Cookie(s.cookieName(r.TLS != nil))
	if err != nil || len(cookie.Value) != secretLength {
		return nil, nil
	}
	sum := sha256.Sum256([]byte(cookie.Value))
	s.mu.Lock()
	defer s.mu.Unlock()
	var found *session
	for i := range s.list {
		if subtle.ConstantTimeCompare(s.list[i].SHA256[:], sum[:]) == 1 {
			found = new(s.list[i])
		}
	}
	if found == nil || found.valid.Err() != nil || !time.Now().Before(found.ExpiresAt) {
		return nil, nil
	}
	return found, s.tokens.named(found.Token)
}

func (s *Sessions) cookieName(secure bool) string {
	if secure {
		return hostCookie + sessionCookie + s.id
	}
	return sessionCookie + s.id
}

// cookie is what a browser is to keep; an empty secret has it forget.
func (s *Sessions) cookie(secure bool, secret string, until time.Time) *http.Cookie {
	c := &http.Cookie{
		Name: s.cookieName(secure), Value: secret, Path: "/", Expires: until,
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteStrictMode,
	}
	if secret == "" {
		c.MaxAge = -1
	}
	return c
}

// named returns the token of a name, or nil.
func (t *Tokens) named(name string) *token {
	list := *t.list.Load()
	i := slices.IndexFunc(list, func(k token) bool { return k.Name == name })
	if i < 0 {
		return nil
	}
	return &list[i]
}

// person is the name that a session is for, as it may stand in the log.
func person(text string) (string, error) {
	text = strings.TrimSpace(text)
	if len(text) > maxPerson {
		return "", invalid("person: at most %d bytes", maxPerson)
	}
	return cmp.Or(events.Scrub(text, maxPerson), ""), nil
}

// maxPerson bounds a person's name, in bytes.
const maxPerson = 64
