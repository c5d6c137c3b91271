// Package wire is the byte format beneath every durable file of Abeyance: a
// canonical subset of MessagePack in which each value has exactly one encoding.
//
// The subset is
//
//	nil      c0
//	bool     c2 | c3
//	integer  the shortest of fixint, uint8..64, negative fixint, int8..64
//	float    cb + 8 bytes, finite, never -0
//	string   the shortest of fixstr, str8..32, valid UTF-8, bounded by its field
//	bytes    the shortest of bin8..32, bounded by its field
//	array    the shortest of fixarray, array16..32, bounded by its field
//	time     an integer: nanoseconds since 1970-01-01 UTC, or nil for "none"
//
// There are no maps, no extension types and no bytes after the value. Hence
// decode(encode(v)) = v and, for every input that decodes, encode(decode(b)) = b,
// which is what lets a hash over stored bytes stand for the value.
//
// A [Codec] runs in one of two directions over the same description of a value,
// so an encoder and a decoder cannot drift apart. Both are ours, and are tested
// against vmihailenco/msgpack: that library's decoder allocates what a hostile length
// asks for, and a declared length of 4 GiB ends the process where no recover can catch
// it. The reader here checks every length against the bytes that are left before it
// allocates.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"
)

// ErrMalformed is wrapped by every error about bytes that are not the canonical
// form of the value asked for.
var ErrMalformed = errors.New("malformed bytes")

// ErrTooLarge is wrapped when a value exceeds the bound of its field, in either
// direction.
var ErrTooLarge = errors.New("value too large")

// Codec encodes or decodes one value. The zero Codec is not usable: call
// [NewEncoder] or [NewDecoder]. After the first error every method does nothing;
// ask [Codec.Err] or [Codec.Finish] at the end. A Codec is for one goroutine.
type Codec struct {
	decoding bool
	buf      []byte // the output, or the input
	off      int    // read position
	err      error

	strings *Strings // nil: every decoded string is a copy of its own
}

// NewEncoder returns a Codec that appends to b, which may be nil.
func NewEncoder(b []byte) *Codec { return &Codec{buf: b} }

// NewDecoder returns a Codec that reads b. Decoded values do not alias b.
func NewDecoder(b []byte) *Codec { return &Codec{buf: b, decoding: true} }

// Share makes a decoder look up short strings in t, so that repeated ones are not
// allocated again. It survives Reset.
func (c *Codec) Share(t *Strings) { c.strings = t }

// Reset makes an encoder append to b, and a decoder read b, as if new.
func (c *Codec) Reset(b []byte) { c.buf, c.off, c.err = b, 0, nil }

// Decoding reports the direction: fields are being filled rather than written.
func (c *Codec) Decoding() bool { return c.decoding }

// Err returns the first error met.
func (c *Codec) Err() error { return c.err }

// Finish returns the bytes written so far, or, when decoding, an error if any
// bytes are left unread.
func (c *Codec) Finish() ([]byte, error) {
	if c.err == nil && c.Decoding() && c.off != len(c.buf) {
		c.fail(fmt.Errorf("%w: %d bytes after the value", ErrMalformed, len(c.buf)-c.off))
	}
	return c.buf, c.err
}

// Fail records err, for a check of the caller's own, unless one is recorded.
func (c *Codec) Fail(err error) { c.fail(err) }

func (c *Codec) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// Array writes the header of an array of exactly n elements, or requires it.
func (c *Codec) Array(n int) {
	if got := c.Len(n, n); c.err == nil && got != n {
		c.fail(fmt.Errorf("%w: array of %d where %d is due", ErrMalformed, got, n))
	}
}

// Len writes the header of an array of n elements, or reads one, and returns the
// length: at most limit, and never more than the bytes that are left.
func (c *Codec) Len(n, limit int) int {
	if c.err != nil {
		return 0
	}
	if !c.Decoding() {
		if n > limit {
			c.fail(fmt.Errorf("%w: array of %d, at most %d", ErrTooLarge, n, limit))
			return 0
		}
		c.writeLen(&arrayForms, n)
		return n
	}
	return c.readLen(&arrayForms, limit)
}

// Nil writes nil when absent is true. When decoding it consumes a nil if one is
// next. It returns whether the value is absent.
func (c *Codec) Nil(absent bool) bool {
	if c.err != nil {
		return true
	}
	if !c.Decoding() {
		if absent {
			c.buf = append(c.buf, formNil)
		}
		return absent
	}
	if c.off < len(c.buf) && c.buf[c.off] == formNil {
		c.off++
		return true
	}
	return false
}

// Bool is a boolean.
func (c *Codec) Bool(p *bool) {
	if c.err != nil {
		return
	}
	if !c.Decoding() {
		form := byte(formFalse)
		if *p {
			form = formTrue
		}
		c.buf = append(c.buf, form)
		return
	}
	switch c.next() {
	case formFalse:
		*p = false
	case formTrue:
		*p = true
	default:
		c.malformed("bool")
	}
}

// Uint64 is an unsigned integer in its shortest form.
func (c *Codec) Uint64(p *uint64) {
	if c.err != nil {
		return
	}
	if !c.Decoding() {
		c.writeUint(*p)
		return
	}
	*p = c.readUint(c.next())
}

// Int64 is a signed integer in its shortest form.
func (c *Codec) Int64(p *int64) {
	if c.err != nil {
		return
	}
	if !c.Decoding() {
		c.writeInt(*p)
		return
	}
	*p = c.readInt()
}

// Float is a finite 64-bit float; NaN, the infinities and -0 are refused.
func (c *Codec) Float(p *float64) {
	if c.err != nil {
		return
	}
	if c.Decoding() {
		if c.next() != formFloat {
			c.malformed("float")
			return
		}
		*p = math.Float64frombits(c.big(8))
	}
	if c.err == nil && (math.IsNaN(*p) || math.IsInf(*p, 0) || *p == 0 && math.Signbit(*p)) {
		c.malformed("finite float")
	}
	if c.err == nil && !c.Decoding() {
		c.buf = binary.BigEndian.AppendUint64(append(c.buf, formFloat), math.Float64bits(*p))
	}
}

// String is valid UTF-8 of at most limit bytes.
func (c *Codec) String(p *string, limit int) {
	if c.err != nil {
		return
	}
	switch {
	case c.Decoding():
		*p = c.readString(limit)
	case len(*p) > limit:
		c.fail(fmt.Errorf("%w: string of %d bytes, at most %d", ErrTooLarge, len(*p), limit))
	case !utf8.ValidString(*p):
		c.malformed("UTF-8 string")
	default:
		c.writeLen(&stringForms, len(*p))
		c.buf = append(c.buf, *p...)
	}
}

// Bytes is a byte string of at most limit bytes; an empty one decodes to nil.
func (c *Codec) Bytes(p *[]byte, limit int) {
	if c.err != nil {
		return
	}
	if c.Decoding() {
		n := c.readLen(&bytesForms, limit)
		*p = append([]byte(nil), c.take(n)...)
		return
	}
	if len(*p) > limit {
		c.fail(fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(*p), limit))
		return
	}
	c.writeBytes(*p)
}

// Fixed is a byte string of exactly len(p) bytes.
func (c *Codec) Fixed(p []byte) {
	if c.err != nil {
		return
	}
	if !c.Decoding() {
		c.writeBytes(p)
		return
	}
	if n := c.readLen(&bytesForms, len(p)); c.err == nil && n != len(p) {
		c.malformed("byte string of fixed length")
	}
	copy(p, c.take(len(p)))
}

// Time is an instant in UTC with nanoseconds; the zero Time is nil. Instants
// outside the years 1677 to 2262 do not fit 64 bits and are refused.
func (c *Codec) Time(p *time.Time) {
	if c.Nil(p.IsZero()) {
		if c.Decoding() {
			*p = time.Time{}
		}
		return
	}
	ns := int64(0)
	if !c.Decoding() {
		if p.Before(time.Unix(0, math.MinInt64)) || p.After(time.Unix(0, math.MaxInt64)) {
			c.fail(fmt.Errorf("%w: the year %d does not fit", ErrTooLarge, p.UTC().Year()))
			return
		}
		ns = p.UnixNano()
	}
	c.Int64(&ns)
	if c.Decoding() {
		*p = time.Unix(0, ns).UTC()
	}
}

// Duration is a signed number of nanoseconds.
func (c *Codec) Duration(p *time.Duration) { c.Int64((*int64)(p)) }

// Text is [Codec.String] for a named string type.
func Text[S ~string](c *Codec, p *S, limit int) {
	s := string(*p)
	if c.String(&s, limit); c.Decoding() {
		*p = S(s) // what is encoded is only read: others may read it too
	}
}

// Uint is [Codec.Uint64] for a named unsigned type of 64 bits.
func Uint[U ~uint64](c *Codec, p *U) {
	u := uint64(*p)
	if c.Uint64(&u); c.Decoding() {
		*p = U(u)
	}
}

// Int is [Codec.Int64] for a plain int. Values beyond 32 bits are refused, so
// that a log moves between machines.
func Int(c *Codec, p *int) {
	i := int64(*p)
	if i != int64(int32(i)) {
		c.fail(fmt.Errorf("%w: integer %d beyond 32 bits", ErrTooLarge, i))
		return
	}
	c.Int64(&i)
	if i != int64(int32(i)) {
		c.malformed("32-bit integer")
		return
	}
	if c.Decoding() {
		*p = int(i)
	}
}

// Slice is an array of at most limit elements, each described by field. An empty
// array decodes to nil.
func Slice[T any](c *Codec, p *[]T, limit int, field func(*Codec, *T)) {
	n := c.Len(len(*p), limit)
	if !c.Decoding() {
		for i := range *p {
			field(c, &(*p)[i])
		}
		return
	}
	*p = nil
	for range n {
		var v T
		field(c, &v)
		if c.err != nil {
			return
		}
		*p = append(*p, v)
	}
}

// Optional is a value or nil.
func Optional[T any](c *Codec, p **T, field func(*Codec, *T)) {
	if c.Nil(*p == nil) {
		if c.Decoding() {
			*p = nil
		}
		return
	}
	if c.Decoding() {
		*p = new(T)
	}
	field(c, *p)
}
