package ndjson

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"

	"github.com/abeyance/abeyance/events"
)

// maxLine bounds a line: that of the largest record, in base64, and what stands beside
// it.
const maxLine = events.MaxDefinitions*4/3 + 64<<10

// append appends the first line.
func (h *Header) append(b []byte) []byte {
	o := object{b: b}
	o.open()
	o.needInt("abeyance_export", Format)
	o.needText("log", h.Log)
	o.needUint("first_seq", uint64(h.First))
	o.hash("prev", h.Prev)
	o.needUint("last_seq", uint64(h.Last))
	if f := h.Filter; f != (events.Filter{}) {
		outer := o.begin("filter")
		o.text("account", f.Account)
		o.text("target", f.Target)
		o.text("kind", string(f.Kind))
		o.end(outer)
	}
	o.close()
	return append(o.b, '\n')
}

// Trailer is the last line of an export that is whole.
type Trailer struct {
	Records uint64 // record lines
	// Seq and Hash are of the newest record of the range, or of the one before it.
	Seq  events.Seq
	Hash events.Hash
}

// ParseTrailer reads the last line of an export, with or without its end.
func ParseTrailer(line []byte) (Trailer, error) {
	var e end
	if err := json.Unmarshal(line, &e); err != nil || e.End == nil || *e.End != Format || e.Hash == nil {
		return Trailer{}, errors.New("its last line is missing")
	}
	return Trailer{e.Records, e.Seq, *e.Hash}, nil
}

func appendTrailer(b []byte, t Trailer) []byte {
	o := object{b: b}
	o.open()
	o.needInt("abeyance_export_end", Format)
	o.needUint("records", t.Records)
	o.needUint("seq", uint64(t.Seq))
	o.hash("hash", t.Hash)
	o.close()
	return append(o.b, '\n')
}

// appendRecord appends a record's line.
func appendRecord(b []byte, r events.Record, prev events.Hash) []byte {
	o := object{b: b}
	o.open()
	o.needUint("seq", uint64(r.Seq))
	o.needTime("at", r.At)
	o.needText("kind", string(r.Kind()))
	o.text("account", r.Account)
	o.needText("actor", r.Actor)
	o.text("on_behalf_of", r.OnBehalfOf)
	o.needText("via", string(r.Via))
	o.text("correlation_id", r.CorrelationID)
	o.text("idempotency_key", r.IdempotencyKey)
	outer := o.begin("data")
	o.data(r.Event)
	o.end(outer)
	o.hash("prev", prev)
	o.hash("hash", r.Hash)
	o.name("record")
	o.b = base64.StdEncoding.AppendEncode(append(o.b, '"'), r.Encoded())
	o.b = append(o.b, '"')
	o.close()
	return append(o.b, '\n')
}

// hash adds a member with a hash in hex.
func (o *object) hash(name string, h events.Hash) {
	o.name(name)
	o.b = append(hex.AppendEncode(append(o.b, '"'), h[:]), '"')
}
