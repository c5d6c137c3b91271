package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/sidecar"
)

// Names of the files in a data directory.
const (
	// TokensFile holds names, scopes and SHA-256 of the tokens, as JSON:
	//
	//	{"version": 1, "tokens": [{"name", "id", "scopes", "sha256", "created_at"}, ...]}
	TokensFile = "tokens.json"
	// TokenFile holds the first admin token in clear, for the CLI on this machine.
	TokenFile = "token"
)

const (
	tokensVersion = 1
	maxTokens     = 256
	firstToken    = "admin"
)

// Errors of [Tokens].
var (
	ErrTokenExists  = errors.New("a token of that name exists")
	ErrUnknownToken = errors.New("no token of that name exists")
	ErrLastAdmin    = errors.New("it is the last token with the scope admin; make another first")
	ErrTokenInvalid = errors.New("the token cannot be made")
)

// Tokens are the bearer tokens of a server. Only their hashes are kept. All methods
// may be called from several goroutines.
type Tokens struct {
	path string // of TokensFile

	mu   sync.Mutex // held while list is replaced
	list atomic.Pointer[[]token]
}

// token is one entry; never changed once published.
type token struct {
	Name      string      `json:"name"`
	ID        string      `json:"id,omitempty"` // it stands in the token, too; empty: made by hand
	Scopes    []Scope     `json:"scopes"`
	SHA256    events.Hash `json:"sha256"`
	CreatedAt time.Time   `json:"created_at"`

	valid   context.Context // ends when the token is deleted
	revoke  context.CancelFunc
	changes *allowance
}

// begin makes the token valid.
func (k *token) begin() {
	k.valid, k.revoke = context.WithCancel(context.Background())
	k.changes = new(allowance)
}

type tokensFile struct {
	Version int     `json:"version"`
	Tokens  []token `json:"tokens"`
}

// OpenTokens reads the tokens of a data directory, which must exist. If there is no
// token yet it makes one with the scope admin, writes it to [TokenFile] and reports
// true. Files that others may read are refused, and a TokenFile that is there
// before any token is known is not written over.
func OpenTokens(dir string) (t *Tokens, created bool, err error) {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return nil, false, fmt.Errorf("the data directory %s is a file: name a directory", dir)
	}
	t = &Tokens{path: filepath.Join(dir, TokensFile)}
	list, err := t.read()
	if err != nil {
		return nil, false, err
	}
	t.list.Store(&list)
	plain := filepath.Join(dir, TokenFile)
	if len(list) == 0 {
		return t, true, t.first(plain)
	}
	// An operator may have put the token elsewhere, but not where others read it.
	if _, err := sidecar.Read(plain); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, false, err
	}
	return t, false, nil
}

func (t *Tokens) read() ([]token, error) {
	doc, err := sidecar.Read(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var f tokensFile
	if err := json.Unmarshal(doc, &f); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w; restore it, or remove it and %s to make a new admin token", t.path, err, TokenFile)
	}
	if f.Version != tokensVersion {
		return nil, fmt.Errorf("%s has format version %d, and this version of Abeyance reads %d", t.path, f.Version, tokensVersion)
	}
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", t.path, err)
	}
	for i := range f.Tokens {
		f.Tokens[i].begin()
	}
	return f.Tokens, nil
}

// first makes the first admin token. Its file comes first: a token that nobody
// holds would lock everybody out.
func (t *Tokens) first(path string) error {
	scopes := []Scope{ScopeAdmin}
	id, plain := newToken(scopes)
	// O_EXCL neither follows a symbolic link nor opens what somebody else put there.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there, but %s knows no token: remove it to make a new admin token, or restore %s",
			path, TokensFile, TokensFile)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(plain + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = t.add(token{Name: firstToken, ID: id, Scopes: scopes}, plain)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("making the first token: %w", err), os.Remove(path))
	}
	return nil
}

// Create makes a token and returns it, the only time it can be seen. Errors wrap
// ErrTokenExists or ErrTokenInvalid, or are the file system's.
func (t *Tokens) Create(name string, scopes []Scope) (string, error) {
	scopes = slices.Compact(slices.Sorted(slices.Values(scopes)))
	switch {
	case !validTokenName(name):
		return "", fmt.Errorf("%w: the name must be 1 to 64 of a-z, 0-9, '.', '_' and '-', and begin with a letter or digit", ErrTokenInvalid)
	case len(scopes) == 0:
		return "", fmt.Errorf("%w: it needs at least one scope of %v", ErrTokenInvalid, Scopes())
	}
	for _, s := range scopes {
		if !slices.Contains(Scopes(), s) {
			return "", fmt.Errorf("%w: %q is no scope: they are %v", ErrTokenInvalid, s, Scopes())
		}
	}
	id, plain := newToken(scopes)
	return plain, t.add(token{Name: name, ID: id, Scopes: scopes}, plain)
}

func validTokenName(name string) bool {
	ok := len(name) >= 1 && len(name) <= 64
	for i, r := range name {
		alnum := r >= 'a' && r <= 'z' || r >= '0' && r <= '9'
		ok = ok && (alnum || i > 0 && (r == '.' || r == '_' || r == '-'))
	}
	return ok
}

// add keeps a token that was made.
func (t *Tokens) add(k token, plain string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := *t.list.Load()
	switch {
	case slices.ContainsFunc(list, func(known token) bool { return known.Name == k.Name }):
		return fmt.Errorf("%w: %q", ErrTokenExists, k.Name)
	case len(list) >= maxTokens:
		return fmt.Errorf("%w: there are %d tokens, the most there can be", ErrTokenInvalid, maxTokens)
	}
	k.SHA256, k.CreatedAt = sha256.Sum256([]byte(plain)), time.Now().UTC().Truncate(time.Millisecond)
	k.begin()
	return t.replace(append(slices.Clone(list), k))
}

// Delete ends a token at once, with the streams that it opened. Errors wrap ErrUnknownToken or ErrLastAdmin, or are
// the file system's.
func (t *Tokens) Delete(name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := slices.Clone(*t.list.Load())
	i := slices.IndexFunc(list, func(k token) bool { return k.Name == name })
	if i < 0 {
		return fmt.Errorf("%w: %q", ErrUnknownToken, name)
	}
	revoke := list[i].revoke
	list = slices.Delete(list, i, i+1)
	if !slices.ContainsFunc(list, func(k token) bool { return slices.Contains(k.Scopes, ScopeAdmin) }) {
		return fmt.Errorf("%q cannot be deleted: %w", name, ErrLastAdmin)
	}
	if err := t.replace(list); err != nil {
		return err
	}
	revoke()
	return nil
}

// replace makes a list durable, then current. The caller holds t.mu.
func (t *Tokens) replace(list []token) error {
	slices.SortFunc(list, func(a, b token) int { return strings.Compare(a.Name, b.Name) })
	doc, err := json.MarshalIndent(tokensFile{tokensVersion, list}, "", "  ")
	if err != nil {
		return err
	}
	if err := sidecar.Write(t.path, append(doc, '\n')); err != nil {
		return fmt.Errorf("writing %s: %w", t.path, err)
	}
	t.list.Store(&list)
	return nil
}

// List returns the tokens by name.
func (t *Tokens) List() []TokenRow {
	rows := []TokenRow{}
	for _, k := range *t.list.Load() {
		rows = append(rows, k.row())
	}
	return rows
}

func (k *token) row() TokenRow {
	return TokenRow{Name: k.Name, ID: k.ID, Scopes: slices.Clone(k.Scopes), CreatedAt: Time{k.CreatedAt}}
}

// find returns the entry of a token as a client presents it, or nil. Every entry is
// compared, each in constant time.
func (t *Tokens) find(plain string) *token {
	if !wellFormed(plain) {
		return nil
	}
	sum := sha256.Sum256([]byte(plain))
	list := *t.list.Load()
	var found *token
	for i := range list {
		if subtle.ConstantTimeCompare(list[i].SHA256[:], sum[:]) == 1 {
			found = &list[i]
		}
	}
	return found
}
