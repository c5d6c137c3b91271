// Package identity keeps e-mail addresses out of the log. An account id that
// contains "@", as the file names of some proxies do, or ":apikey:", after which
// CLIProxyAPI writes a hash of the key, is stored as a keyed pseudonym; the key and the ids as given stand in one file beside the log, which
// can be erased, entry by entry, without touching the log.
//
// The file is JSON:
//
//	{"version": 1, "key": BASE64 of 32 bytes, "accounts": {STORED: {"given": ID}, ...}}
//
// with mode 0600, replaced atomically.
package identity

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/abeyance/abeyance/events/sidecar"
)

// FileName is the name of the file in a data directory.
const FileName = "identities.json"

// Prefix begins every pseudonym.
const Prefix = "acct_"

// version is of the file format.
const version = 1

// Book maps account ids as given to ids as stored, and back. A nil *Book maps every
// id to itself. Reading takes no lock.
type Book struct {
	path string // empty: in memory
	key  []byte

	mu    sync.Mutex // held while names is replaced
	names atomic.Pointer[names]
}

// names is both directions; never changed once published.
type names struct {
	stored map[string]string // given → stored
	given  map[string]string // stored → given
}

type file struct {
	Version  int              `json:"version"`
	Key      []byte           `json:"key"`
	Accounts map[string]entry `json:"accounts"`
}

type entry struct {
	Given string `json:"given"`
}

// New returns an empty book in memory with a random key.
func New() *Book {
	b := &Book{key: make([]byte, 32)}
	rand.Read(b.key) // never fails; see crypto/rand
	b.names.Store(&names{map[string]string{}, map[string]string{}})
	return b
}

// Open reads the book at path, or starts a new one there, which is written with
// its first entry. A file that others may read is refused.
func Open(path string) (*Book, error) {
	doc, err := sidecar.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		b := New()
		b.path = path
		return b, nil
	}
	if err != nil {
		return nil, err
	}
	return read(path, doc)
}

func read(path string, doc []byte) (*Book, error) {
	var f file
	if err := json.Unmarshal(doc, &f); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w; restore it from a backup: without it accounts with e-mail ids are not known again", path, err)
	}
	if f.Version != version || len(f.Key) != 32 {
		return nil, fmt.Errorf("%s has format version %d, and this version of Abeyance reads %d", path, f.Version, version)
	}
	b := &Book{path: path, key: f.Key}
	n := &names{map[string]string{}, map[string]string{}}
	for stored, e := range f.Accounts {
		if b.pseudonym(e.Given) != stored {
			return nil, fmt.Errorf("%s is damaged: the entry %s is not the pseudonym of its id", path, stored)
		}
		n.stored[e.Given], n.given[stored] = stored, e.Given
	}
	b.names.Store(n)
	return b, nil
}

// private reports whether an id must not be stored as given.
func private(given string) bool {
	return strings.Contains(given, "@") || strings.Contains(given, ":apikey:")
}

// Stored returns the id that a given id is stored under. It does not make an entry:
// the answer for an id never seen is the one an entry would get.
func (b *Book) Stored(given string) string {
	if b == nil || !private(given) {
		return given
	}
	if s, ok := b.names.Load().stored[given]; ok {
		return s
	}
	return b.pseudonym(given)
}

// Given returns the id as it was given, or the stored id if that is not known.
func (b *Book) Given(stored string) string {
	if b == nil || !strings.HasPrefix(stored, Prefix) {
		return stored
	}
	if g, ok := b.names.Load().given[stored]; ok {
		return g
	}
	return stored
}

// unknown reports whether an id needs an entry and has none.
func (b *Book) unknown(given string) bool {
	return private(given) && b.names.Load().stored[given] == ""
}

// Add makes entries for the ids that need one, durably, before it returns. Call it
// before an id enters the log.
func (b *Book) Add(given ...string) error {
	if b == nil || !slices.ContainsFunc(given, b.unknown) {
		return nil // the usual case takes no lock and copies nothing
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.names.Load()
	next := &names{maps.Clone(old.stored), maps.Clone(old.given)}
	for _, g := range given {
		if private(g) {
			s := b.pseudonym(g)
			next.stored[g], next.given[s] = s, g
		}
	}
	if len(next.stored) == len(old.stored) {
		return nil
	}
	if err := b.save(next); err != nil {
		return fmt.Errorf("writing %s: %w", b.path, err)
	}
	b.names.Store(next)
	return nil
}

// Known reports whether there is an entry for an id, given or stored.
func (b *Book) Known(id string) bool {
	if b == nil {
		return false
	}
	n := b.names.Load()
	return n.stored[id] != "" || n.given[id] != ""
}

// Forget erases the entry of an id, given or stored, durably, before it returns: from
// then on the account is shown by its stored id, which is the same as before, so that
// the log stays what it is. It returns false if there is no entry. The next time that
// the given id is named in a config file or a request, it gets its entry again.
func (b *Book) Forget(id string) (bool, error) {
	if !b.Known(id) {
		return false, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.names.Load()
	stored := old.stored[id]
	if stored == "" {
		stored = id
	}
	given := old.given[stored]
	if given == "" {
		return false, nil // somebody was faster
	}
	next := &names{maps.Clone(old.stored), maps.Clone(old.given)}
	delete(next.stored, given)
	delete(next.given, stored)
	if err := b.save(next); err != nil {
		return false, fmt.Errorf("writing %s: %w", b.path, err)
	}
	b.names.Store(next)
	return true, nil
}

func (b *Book) save(n *names) error {
	if b.path == "" {
		return nil
	}
	f := file{Version: version, Key: b.key, Accounts: map[string]entry{}}
	for stored, given := range n.given {
		f.Accounts[stored] = entry{Given: given}
	}
	doc, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return sidecar.Write(b.path, append(doc, '\n'))
}

// pseudonym is Prefix and 20 hex digits of HMAC-SHA-256(key, id).
func (b *Book) pseudonym(given string) string {
	mac := hmac.New(sha256.New, b.key)
	mac.Write([]byte(given))
	return Prefix + hex.EncodeToString(mac.Sum(nil)[:10])
}
