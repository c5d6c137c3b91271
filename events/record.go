package events

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/abeyance/abeyance/events/wire"
)

// Seq is a record's position in the log, from 1, without gaps. 0 is before the
// first record.
type Seq uint64

// Hash is a link of the chain: SHA-256.
type Hash [sha256.Size]byte

// String returns the hash in lower-case hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler: 64 hex digits.
func (h *Hash) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(h) {
		return fmt.Errorf("a hash has %d hex digits, not %d", hex.EncodedLen(len(h)), len(text))
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// Domain separators of the hashes. They are part of the format.
const (
	recordDomain = "abeyance.record.v1"
	logDomain    = "abeyance.log.v1"
)

// Genesis returns the hash before the first record of the log: it ties the chain
// to the log's id, so that records of another log never continue it.
func Genesis(logID string) Hash {
	return sha256.Sum256([]byte(logDomain + logID))
}

// ChainHash returns the hash of a record stored as encoded after a record with
// hash prev: SHA-256("abeyance.record.v1" || prev || encoded).
func ChainHash(prev Hash, encoded []byte) Hash {
	var buf [1 << 10]byte // on the stack; longer records than this are rare
	b := append(buf[:0], recordDomain...)
	b = append(b, prev[:]...)
	return sha256.Sum256(append(b, encoded...))
}

// Head identifies the newest record of a log. A log without records has Seq 0 and
// the hash Genesis(Log).
type Head struct {
	Log  string // the log's id, a UUID
	Seq  Seq
	Hash Hash
	At   time.Time // of the newest record; zero without records
}

// Origin says where a command came from. Actor is the authenticated principal;
// a caller can only add OnBehalfOf.
type Origin struct {
	Actor          string // "operator:NAME", "proxy:NAME", "system:expiry", "system:config", "import:NAME"
	OnBehalfOf     string
	Via            Via
	CorrelationID  string // one per command, UUIDv7
	IdempotencyKey string
	RequestHash    Hash // SHA-256 of the request that carried IdempotencyKey; zero without one
}

// Via is the surface a command came through.
type Via string

// The surfaces.
const (
	ViaHTTP   Via = "http"
	ViaCLI    Via = "cli"
	ViaUI     Via = "ui"
	ViaCompat Via = "compat"
	ViaGo     Via = "go"
)

// Draft is an event that has been decided and not yet stored.
type Draft struct {
	Origin
	Account string // the stored account id; empty for pool-wide facts
	Event   Event
}

// Record is a stored event. Records are values: treat the event as immutable.
type Record struct {
	Seq Seq
	At  time.Time // UTC; never before the record before
	Draft
	Hash Hash

	encoded []byte
}

// Kind returns the kind of the record's event.
func (r Record) Kind() Kind { return r.Event.Kind() }

// Encoded returns the bytes that Hash is over. They must not be changed.
func (r Record) Encoded() []byte { return r.encoded }

// Accounts returns the accounts a record is about: its account, or the accounts of
// the cells that expired, without repeats of neighbours.
func (r Record) Accounts() []string {
	e, ok := r.Event.(*Expired)
	if !ok {
		if r.Account == "" {
			return nil
		}
		return []string{r.Account}
	}
	var ids []string
	for _, c := range e.Cells {
		if len(ids) == 0 || ids[len(ids)-1] != c.Account {
			ids = append(ids, c.Account)
		}
	}
	return ids
}

// Target returns the target of the cell that a record is about; empty if it is about
// none, or about several, as an expired record may be.
func (r Record) Target() string {
	switch e := r.Event.(type) {
	case *LimitObserved:
		return e.Target
	case *Suspended:
		return e.Target
	case *Lifted:
		return e.Target
	case *CooldownCleared:
		return e.Target
	case *RecheckRequested:
		return e.Target
	case *Recovered:
		return e.Target
	case *Imported:
		return e.Target
	}
	return ""
}

// Seal turns drafts into the records that continue head: it assigns seqs, the time
// (at, but never before the head's), encodes and chains. It is pure. The error says
// which draft breaks a bound of the format; then nothing is sealed.
func Seal(head Head, at time.Time, drafts []Draft) ([]Record, error) {
	return new(Sealer).Seal(make([]Record, 0, len(drafts)), head, at, drafts)
}

// Sealer seals many drafts as [Seal] does, with fewer allocations: the bytes of records
// sealed one after another share larger pieces of memory, of which each record keeps
// its piece alive. The zero value is ready. A Sealer is for one goroutine.
type Sealer struct {
	codec   *wire.Codec
	scratch []byte // the record being encoded
	piece   []byte // what is left of the piece that encoded records are copied to
	size    int    // of the next piece; grows with use
}

// sealPiece is how much memory records share at most, in bytes.
const sealPiece = 32 << 10

// Seal appends to recs what the function [Seal] returns. After an error recs is as it
// was.
func (x *Sealer) Seal(recs []Record, head Head, at time.Time, drafts []Draft) ([]Record, error) {
	sealed, err := x.Encode(recs, head, at, drafts)
	if err != nil {
		return recs, err
	}
	return sealed, Link(head, sealed[len(recs):])
}

// Encode is Seal without the chain: the records have no hashes until they are appended
// to a log, and head needs none. So records can be made while those before them are
// still on their way to the disk.
func (x *Sealer) Encode(recs []Record, head Head, at time.Time, drafts []Draft) ([]Record, error) {
	if x.codec == nil {
		x.codec = wire.NewEncoder(nil)
	}
	at = at.Round(0).UTC() // the wall clock alone is stored
	if at.Before(head.At) {
		at = head.At
	}
	made := recs
	for i := range drafts {
		d := &drafts[i]
		made = append(made, Record{Seq: head.Seq + Seq(i) + 1, At: at, Draft: *d})
		r := &made[len(made)-1]
		x.codec.Reset(x.scratch[:0])
		encoded, err := encodeRecord(x.codec, r)
		if err != nil {
			return recs, fmt.Errorf("%s record for account %q: %w", d.Event.Kind(), d.Account, err)
		}
		x.scratch = encoded
		r.encoded = x.keep(encoded, len(drafts)-i)
	}
	return made, nil
}

// keep returns a copy of a record's bytes, the first of n records to come.
func (x *Sealer) keep(encoded []byte, n int) []byte {
	if len(encoded) > len(x.piece) {
		x.size = min(sealPiece, max(n*len(encoded), 2*x.size))
		x.piece = make([]byte, max(len(encoded), x.size))
	}
	kept := x.piece[:copy(x.piece, encoded):len(encoded)]
	x.piece = x.piece[len(encoded):]
	return kept
}

// Next returns the head after r.
func (h Head) Next(r Record) Head {
	return Head{Log: h.Log, Seq: r.Seq, Hash: r.Hash, At: r.At}
}

// Open checks that encoded, stored with hash under seq, continues head, and
// decodes it. Errors are a *ChainError for bytes that are not those sealed, or
// what [Decode] returns. The bytes are checked before any of them is decoded; the
// record keeps encoded, which must not change afterwards.
func Open(head Head, seq Seq, encoded []byte, hash Hash) (Record, error) {
	return open(head, Record{Seq: seq, Hash: hash, encoded: encoded}, Decode)
}

// open opens raw, of which only the seq, the hash and the bytes are known.
func open(head Head, raw Record, decode func([]byte) (Record, error)) (Record, error) {
	if raw.Seq != head.Seq+1 {
		return Record{}, &ChainError{Seq: head.Seq + 1, Problem: fmt.Sprintf("is missing: the next record is %d", raw.Seq)}
	}
	if ChainHash(head.Hash, raw.encoded) != raw.Hash {
		return Record{}, &ChainError{Seq: raw.Seq, Problem: "is not what was written: its hash does not continue the chain"}
	}
	r, err := decode(raw.encoded)
	if err != nil {
		return Record{}, fmt.Errorf("record %d: %w", raw.Seq, err)
	}
	switch {
	case r.Seq != raw.Seq:
		return Record{}, &ChainError{Seq: raw.Seq, Problem: fmt.Sprintf("says it is record %d", r.Seq)}
	case r.At.Before(head.At):
		return Record{}, &ChainError{Seq: raw.Seq, Problem: "is dated before the record it follows"}
	}
	r.Hash = raw.Hash
	return r, nil
}

// ChainError says that a stored log is not what was written, and where first.
type ChainError struct {
	Seq     Seq
	Problem string
}

func (e *ChainError) Error() string { return fmt.Sprintf("record %d %s", e.Seq, e.Problem) }
