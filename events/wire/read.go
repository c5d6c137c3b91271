package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"
)

// forms are the header bytes of one kind of length-prefixed value.
type forms struct {
	what             string
	fix, fixMax      byte // fix|n for n <= fixMax; fixMax 0: none
	len8, len16, l32 byte // 0: the form does not exist
}

// The header bytes of values without a length.
const (
	formNil   = 0xc0
	formFalse = 0xc2
	formTrue  = 0xc3
	formFloat = 0xcb
)

// The three kinds with a length, as in the MessagePack specification
// (https://github.com/msgpack/msgpack/blob/master/spec.md).
var (
	arrayForms  = forms{"array", 0x90, 15, 0, 0xdc, 0xdd}
	stringForms = forms{"string", 0xa0, 31, 0xd9, 0xda, 0xdb}
	bytesForms  = forms{"bytes", 0, 0, 0xc4, 0xc5, 0xc6}
)

// readLen reads a length header in its shortest form. The length is checked
// against limit and against the bytes left, before anything is allocated.
func (c *Codec) readLen(f *forms, limit int) int {
	h := c.next()
	var n, least uint64
	switch {
	case c.err != nil:
		return 0
	case f.fixMax > 0 && h&^f.fixMax == f.fix:
		n = uint64(h & f.fixMax)
	case h == f.len8 && f.len8 != 0:
		n, least = c.big(1), uint64(f.fixMax)+1
	case h == f.len16:
		n, least = c.big(2), math.MaxUint8+1
		if f.len8 == 0 {
			least = uint64(f.fixMax) + 1
		}
	case h == f.l32:
		n, least = c.big(4), math.MaxUint16+1
	default:
		c.malformed(f.what)
		return 0
	}
	if f.fixMax == 0 && h == f.len8 {
		least = 0
	}
	switch {
	case c.err != nil:
	case n < least:
		c.malformed("shortest length of " + f.what)
	case n > uint64(limit):
		c.fail(fmt.Errorf("%w: %s of %d, at most %d", ErrTooLarge, f.what, n, limit))
	case n > uint64(len(c.buf)-c.off):
		c.fail(fmt.Errorf("%w: %s of %d with %d bytes left", ErrMalformed, f.what, n, len(c.buf)-c.off))
	default:
		return int(n)
	}
	return 0
}

// readUint reads an unsigned integer whose header byte is h.
func (c *Codec) readUint(h byte) uint64 {
	var v, least uint64
	switch {
	case c.err != nil:
		return 0
	case h <= 0x7f:
		return uint64(h)
	case h == 0xcc:
		v, least = c.big(1), 0x80
	case h == 0xcd:
		v, least = c.big(2), 1<<8
	case h == 0xce:
		v, least = c.big(4), 1<<16
	case h == 0xcf:
		v, least = c.big(8), 1<<32
	default:
		c.malformed("unsigned integer")
		return 0
	}
	if c.err == nil && v < least {
		c.malformed("shortest integer")
		return 0
	}
	return v
}

// readInt reads a signed integer: the unsigned forms up to 2^63-1, and the
// negative forms in their shortest.
func (c *Codec) readInt() int64 {
	h := c.next()
	var v, most int64
	switch {
	case c.err != nil:
		return 0
	case h >= 0xe0:
		return int64(int8(h))
	case h == 0xd0:
		v, most = int64(int8(c.big(1))), -33
	case h == 0xd1:
		v, most = int64(int16(c.big(2))), math.MinInt8-1
	case h == 0xd2:
		v, most = int64(int32(c.big(4))), math.MinInt16-1
	case h == 0xd3:
		v, most = int64(c.big(8)), math.MinInt32-1
	default:
		u := c.readUint(h)
		if c.err == nil && u > math.MaxInt64 {
			c.malformed("signed integer")
			return 0
		}
		return int64(u)
	}
	if c.err == nil && v > most {
		c.malformed("shortest integer")
		return 0
	}
	return v
}

// readString reads valid UTF-8 of at most limit bytes.
func (c *Codec) readString(limit int) string {
	b, ok := c.shortString(limit)
	if !ok {
		b = c.take(c.readLen(&stringForms, limit))
	}
	if len(b) == 0 {
		return ""
	}
	known := c.strings.slot(b)
	if known != nil && *known == string(b) {
		return *known
	}
	if !utf8.Valid(b) {
		c.malformed("UTF-8 string")
		return ""
	}
	s := string(b)
	if known != nil {
		*known = s
	}
	return s
}

// shortString reads a string of the form fixstr, if that is next and in order. Most
// strings are; the way over readLen takes twice the time.
func (c *Codec) shortString(limit int) ([]byte, bool) {
	if c.off >= len(c.buf) {
		return nil, false
	}
	n, from := int(c.buf[c.off])-0xa0, c.off+1
	if n < 0 || n > 31 || n > limit || n > len(c.buf)-from {
		return nil, false
	}
	c.off = from + n
	return c.buf[from:c.off], true
}

// next takes one byte.
func (c *Codec) next() byte {
	if c.err != nil || c.off >= len(c.buf) {
		c.take(1)   // for its error
		return 0xc1 // a byte that no form uses
	}
	b := c.buf[c.off]
	c.off++
	return b
}

// big reads n bytes as a big-endian number.
func (c *Codec) big(n int) (v uint64) {
	b := c.take(n)
	if len(b) == 8 {
		return binary.BigEndian.Uint64(b)
	}
	for _, b := range b {
		v = v<<8 | uint64(b)
	}
	return v
}

// take returns the next n bytes of the input, which stay the input's.
func (c *Codec) take(n int) []byte {
	if c.err != nil {
		return nil
	}
	if n > len(c.buf)-c.off {
		c.fail(fmt.Errorf("%w: ends at byte %d", ErrMalformed, len(c.buf)))
		return nil
	}
	b := c.buf[c.off : c.off+n]
	c.off += n
	return b
}

func (c *Codec) malformed(want string) {
	c.fail(fmt.Errorf("%w: no %s at byte %d", ErrMalformed, want, c.off))
}
