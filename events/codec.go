package events

import (
	"fmt"

	"github.com/abeyance/abeyance/events/wire"
)

// Format is the version of the record format: the first field of every record.
const Format = 1

// Bounds of stored text and lists, in bytes and elements. A surface must refuse or
// cut what is longer; a record that breaks one is never written.
const (
	MaxRecord      = 8 << 10 // encoded, but for definitions
	MaxDefinitions = 1 << 20 // groups_defined and policy_defined, encoded
	MaxID          = 256     // account, model, request and idempotency ids
	MaxName        = 128     // actors, providers, rules, sources
	MaxText        = 1 << 10 // reasons and evidence
	MaxRaw         = 128     // a hint as sent
	MaxLost        = 12      // losing hints kept with one record
	MaxExpired     = 256     // cells of one expired record
	MaxSettings    = 16      // changes of one settings_changed record
	MaxSetting     = 128     // a setting's value
	MaxTarget      = MaxID + len(ModelTarget)
	maxList        = 10_000 // groups, aliases, overrides
)

// FormatError says that a record was written by a newer Abeyance.
type FormatError struct{ What string }

func (e *FormatError) Error() string {
	return e.What + " is not known to this version of Abeyance: it was written by a newer one; run that version, or a newer one"
}

// stored is what every event implements besides Event: the description of its
// payload, for both directions.
type stored interface {
	Event
	fields(c *wire.Codec)
}

// Payload encodes or decodes an event's payload as it stands in a record, for
// formats that hold definitions outside a log.
func Payload(c *wire.Codec, e Event) { e.(stored).fields(c) }

// encodeRecord encodes r with c, an encoder, and returns c's buffer.
func encodeRecord(c *wire.Codec, r *Record) ([]byte, error) {
	kind := r.Event.Kind()
	envelope(c, r, &kind)
	r.Event.(stored).fields(c)
	b, err := c.Finish()
	if err != nil {
		return nil, err
	}
	if most := maxEncoded(kind); len(b) > most {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", wire.ErrTooLarge, len(b), most)
	}
	return b, nil
}

func maxEncoded(k Kind) int {
	if k == KindGroupsDefined || k == KindPolicyDefined {
		return MaxDefinitions
	}
	return MaxRecord
}

// Decode reads the bytes of one record. It accepts exactly what [Seal] writes.
// Errors wrap wire.ErrMalformed or wire.ErrTooLarge, or are a *FormatError for a
// record of a newer version. The hash is not set: see [Open].
func Decode(encoded []byte) (Record, error) {
	return decode(wire.NewDecoder(encoded), encoded)
}

// Decoder decodes many records of one log as [Decode] and [Open] do, and faster:
// strings that repeat from record to record are allocated once. A Decoder is for
// one goroutine.
type Decoder struct{ codec *wire.Codec }

// NewDecoder returns a Decoder.
func NewDecoder() *Decoder {
	d := &Decoder{codec: wire.NewDecoder(nil)}
	d.codec.Share(wire.NewStrings())
	return d
}

// Decode is like the function [Decode].
func (d *Decoder) Decode(encoded []byte) (Record, error) {
	d.codec.Reset(encoded)
	return decode(d.codec, encoded)
}

// Open is like the function [Open].
func (d *Decoder) Open(head Head, seq Seq, encoded []byte, hash Hash) (Record, error) {
	return open(head, Record{Seq: seq, Hash: hash, encoded: encoded}, d.Decode)
}

func decode(c *wire.Codec, encoded []byte) (Record, error) {
	if len(encoded) > MaxDefinitions {
		return Record{}, fmt.Errorf("%w: %d bytes, at most %d", wire.ErrTooLarge, len(encoded), MaxDefinitions)
	}
	var r Record
	var kind Kind
	envelope(c, &r, &kind)
	if err := c.Err(); err != nil {
		return Record{}, err
	}
	e := newEvent(kind)
	if e == nil {
		return Record{}, &FormatError{What: fmt.Sprintf("the record kind %q", kind)}
	}
	e.fields(c)
	if _, err := c.Finish(); err != nil {
		return Record{}, err
	}
	if len(encoded) > maxEncoded(kind) {
		return Record{}, fmt.Errorf("%w: %d bytes, at most %d", wire.ErrTooLarge, len(encoded), maxEncoded(kind))
	}
	r.Event, r.encoded = e, encoded
	return r, nil
}

// maxFields bounds the arrays of formats to come.
const maxFields = 1 << 16

// format is the array of n fields that a format is, the first of them its version. A
// higher one stops the decoder before anything else of the array does: that version
// may have other fields, and more.
func format(c *wire.Codec, what string, known uint64, n int) {
	fields, v := c.Len(n, maxFields), known
	c.Uint64(&v)
	switch {
	case v > known:
		c.Fail(&FormatError{What: fmt.Sprintf("format %d of %s", v, what)})
	case v < known:
		c.Fail(fmt.Errorf("%w: format %d of %s never existed", wire.ErrMalformed, v, what))
	case fields != n:
		c.Fail(fmt.Errorf("%w: %d fields of %s where %d are due", wire.ErrMalformed, fields, what, n))
	}
}

// Envelope: [format, seq, at, kind, account, actor, on_behalf_of, via,
// correlation_id, idempotency_key, request_hash | nil, payload].
func envelope(c *wire.Codec, r *Record, kind *Kind) {
	format(c, "records", Format, 12)
	wire.Uint(c, &r.Seq)
	c.Time(&r.At)
	wire.Text(c, kind, MaxName)
	c.String(&r.Account, MaxID)
	c.String(&r.Actor, MaxName)
	c.String(&r.OnBehalfOf, MaxID)
	wire.Text(c, &r.Via, MaxName)
	c.String(&r.CorrelationID, MaxName)
	c.String(&r.IdempotencyKey, MaxID)
	if !c.Nil(r.RequestHash == Hash{}) {
		c.Fixed(r.RequestHash[:])
		if r.RequestHash == (Hash{}) {
			c.Fail(fmt.Errorf("%w: a request hash of zeros", wire.ErrMalformed))
		}
	}
}

// payload starts an event's own array of n fields after its format version.
func payload(c *wire.Codec, k Kind, n int) {
	format(c, string(k), 1, n+1)
}

func (e *LimitObserved) fields(c *wire.Codec) {
	payload(c, e.Kind(), 25)
	c.String(&e.Provider, MaxName)
	c.String(&e.Model, MaxID)
	c.String(&e.Target, MaxTarget)
	wire.Text(c, &e.Operation, MaxName)
	wire.Int(c, &e.Status)
	signalFields(c, &e.Signal)
	wire.Text(c, &e.Class, MaxName)
	wire.Text(c, &e.Effect, MaxName)
	c.String(&e.Why, MaxName)
	c.Time(&e.Until)
	c.Time(&e.Reset)
	wire.Optional(c, &e.Hint, hintFields)
	wire.Slice(c, &e.Lost, MaxLost, hintFields)
	wire.Optional(c, &e.Clamp, clampFields)
	c.String(&e.Source, MaxName)
	wire.Int(c, &e.Step)
	c.Duration(&e.StepLength)
	c.String(&e.RequestID, MaxID)
	c.Time(&e.StartedAt)
	c.Time(&e.ObservedAt)
	wire.Uint(c, &e.Lease)
	c.Bool(&e.Probe)
	c.Uint64(&e.GroupsVersion)
	c.Uint64(&e.PolicyVersion)
	c.String(&e.Evidence, MaxText)
}

func signalFields(c *wire.Codec, s *Signal) {
	c.Array(7)
	wire.Text(c, &s.Class, MaxName)
	wire.Text(c, &s.Scope, MaxName)
	c.String(&s.Family, MaxTarget)
	wire.Text(c, &s.Window, MaxName)
	c.String(&s.Reason, MaxName)
	c.String(&s.Rule, MaxName)
	wire.Int(c, &s.Classifier)
}

func hintFields(c *wire.Codec, h *Hint) {
	c.Array(5)
	c.String(&h.Source, MaxName)
	c.String(&h.Raw, MaxRaw)
	c.Float(&h.Seconds)
	c.Time(&h.At)
	c.String(&h.Lost, MaxName)
}

func clampFields(c *wire.Codec, k *Clamp) {
	c.Array(3)
	c.String(&k.Bound, MaxName)
	c.Float(&k.Asked)
	c.Float(&k.Given)
}

func (e *Suspended) fields(c *wire.Codec) {
	payload(c, e.Kind(), 3)
	c.String(&e.Target, MaxTarget)
	c.String(&e.Reason, MaxText)
	c.Time(&e.Until)
}

func (e *Lifted) fields(c *wire.Codec) {
	payload(c, e.Kind(), 2)
	c.String(&e.Target, MaxTarget)
	c.String(&e.Reason, MaxText)
}

func (e *CooldownCleared) fields(c *wire.Codec) {
	payload(c, e.Kind(), 3)
	c.String(&e.Target, MaxTarget)
	c.String(&e.Reason, MaxText)
	c.Time(&e.Until)
}

func (e *RecheckRequested) fields(c *wire.Codec) {
	payload(c, e.Kind(), 2)
	c.String(&e.Target, MaxTarget)
	c.String(&e.Reason, MaxText)
}

func (e *Expired) fields(c *wire.Codec) {
	payload(c, e.Kind(), 3)
	wire.Slice(c, &e.Cells, MaxExpired, func(c *wire.Codec, cell *Cell) {
		c.Array(2)
		c.String(&cell.Account, MaxID)
		c.String(&cell.Target, MaxTarget)
	})
	wire.Text(c, &e.Dimension, MaxName)
	c.Time(&e.Due)
}

func (e *Recovered) fields(c *wire.Codec) {
	payload(c, e.Kind(), 12)
	c.String(&e.Target, MaxTarget)
	c.String(&e.Provider, MaxName)
	c.String(&e.Model, MaxID)
	wire.Text(c, &e.Operation, MaxName)
	wire.Int(c, &e.Status)
	c.String(&e.RequestID, MaxID)
	c.Time(&e.StartedAt)
	c.Time(&e.ObservedAt)
	wire.Uint(c, &e.Lease)
	c.Bool(&e.Probe)
	c.Uint64(&e.GroupsVersion)
	c.Uint64(&e.PolicyVersion)
}

func (e *AccountAdded) fields(c *wire.Codec) {
	payload(c, e.Kind(), 1)
	specFields(c, &e.Spec)
}

func (e *AccountChanged) fields(c *wire.Codec) {
	payload(c, e.Kind(), 1)
	specFields(c, &e.Spec)
}

func specFields(c *wire.Codec, s *AccountSpec) {
	c.Array(7)
	c.String(&s.Provider, MaxName)
	wire.Int(c, &s.Priority)
	wire.Int(c, &s.Weight)
	c.Bool(&s.Disabled)
	c.Bool(&s.DisableCooling)
	wire.Text(c, &s.Origin, MaxName)
	c.String(&s.CredentialVersion, MaxName)
}

func (e *AccountRemoved) fields(c *wire.Codec) {
	payload(c, e.Kind(), 2)
	c.String(&e.Reason, MaxText)
	c.Bool(&e.Forced)
}

func (e *GroupsDefined) fields(c *wire.Codec) {
	payload(c, e.Kind(), 8)
	c.Uint64(&e.Version)
	c.String(&e.Preset, MaxName)
	wire.Slice(c, &e.Groups, maxList, groupFields)
	wire.Slice(c, &e.Aliases, maxList, aliasFields)
	c.Bytes(&e.Configured, MaxDefinitions)
	wire.Int(c, &e.Kept)
	wire.Int(c, &e.Moved)
	wire.Int(c, &e.Merged)
}

func groupFields(c *wire.Codec, g *Group) {
	c.Array(7)
	c.String(&g.ID, MaxName)
	c.String(&g.Label, MaxID)
	nameList(c, &g.Providers, MaxName)
	nameList(c, &g.Patterns, MaxID)
	wire.Int(c, &g.Priority)
	c.Bool(&g.Enabled)
	nameList(c, &g.Replaces, MaxName)
}

func nameList(c *wire.Codec, p *[]string, limit int) {
	wire.Slice(c, p, maxList, func(c *wire.Codec, s *string) { c.String(s, limit) })
}

func aliasFields(c *wire.Codec, a *Alias) {
	c.Array(3)
	c.String(&a.Provider, MaxName)
	c.String(&a.Name, MaxID)
	c.String(&a.Model, MaxID)
}

func (e *PolicyDefined) fields(c *wire.Codec) {
	payload(c, e.Kind(), 3)
	c.Uint64(&e.Version)
	policyFields(c, &e.Policy)
	c.Bytes(&e.Configured, MaxDefinitions)
}

func policyFields(c *wire.Codec, p *Policy) {
	c.Array(2)
	rulesFields(c, &p.Default)
	wire.Slice(c, &p.Overrides, maxList, func(c *wire.Codec, o *Override) {
		c.Array(2)
		c.String(&o.Match, MaxID)
		rulesFields(c, &o.Rules)
	})
}

func rulesFields(c *wire.Codec, r *Rules) {
	c.Array(3)
	wire.Slice(c, &r.Classes, len(Classes()), classFields)
	c.Array(2)
	wire.Int(c, &r.Poison.Accounts)
	c.Duration(&r.Poison.Within)
	c.Array(8)
	c.String(&r.Probe.Mode, MaxName)
	c.Duration(&r.Probe.EmptyFirst)
	c.Duration(&r.Probe.EmptyCap)
	c.Duration(&r.Probe.BackgroundFirst)
	c.Duration(&r.Probe.BackgroundCap)
	c.Duration(&r.Probe.OnlyLongerThan)
	c.Duration(&r.Probe.Spacing)
	c.Duration(&r.Probe.Claim)
}

func classFields(c *wire.Codec, r *ClassRule) {
	c.Array(13)
	wire.Text(c, &r.Class, MaxName)
	c.Bool(&r.Blocks)
	c.Duration(&r.Bound.FiveHour)
	c.Duration(&r.Bound.Daily)
	c.Duration(&r.Bound.Weekly)
	c.Duration(&r.Bound.Monthly)
	c.Duration(&r.Bound.Unknown)
	c.Duration(&r.First)
	c.Duration(&r.Cap)
	c.Duration(&r.Jitter)
	wire.Int(c, &r.After)
	c.Duration(&r.Within)
	nameList(c, &r.Hold, MaxName)
}

func (e *Imported) fields(c *wire.Codec) {
	payload(c, e.Kind(), 10)
	c.String(&e.Source, MaxName)
	c.String(&e.Target, MaxTarget)
	c.String(&e.Provider, MaxName)
	c.String(&e.Model, MaxID)
	c.Time(&e.CoolUntil)
	c.Bool(&e.Suspended)
	c.String(&e.Reason, MaxText)
	c.Time(&e.SuspendedAt)
	wire.Text(c, &e.Class, MaxName)
	c.String(&e.Original, 4<<10)
}

func (e *LossAccepted) fields(c *wire.Codec) {
	payload(c, e.Kind(), 5)
	c.String(&e.Log, MaxName)
	wire.Uint(c, &e.Seq)
	c.Fixed(e.Hash[:])
	wire.Uint(c, &e.From)
	c.Fixed(e.FromHash[:])
}

func (e *SettingsChanged) fields(c *wire.Codec) {
	payload(c, e.Kind(), 1)
	wire.Slice(c, &e.Changes, MaxSettings, func(c *wire.Codec, s *SettingChange) {
		c.Array(3)
		c.String(&s.Key, MaxName)
		c.String(&s.From, MaxSetting)
		c.String(&s.To, MaxSetting)
	})
}
