package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/abeyance/abeyance/events/wire"
)

// FuzzMalleability checks that no value has two encodings: whatever decodes
// encodes to the same bytes. What our reader accepted, and nothing else, is also
// read with vmihailenco/msgpack, which must find the same values: that library's
// decoder dies of hostile lengths.
func FuzzMalleability(f *testing.F) {
	full := sample{
		Bool: true, Uint: 1 << 40, Int: -1 << 40, Small: -7, Float: 25_200.5, Text: "quota", Bytes: []byte{1},
		Fixed: [4]byte{1, 2, 3, 4}, Duration: 3e9, List: []string{"claude", ""}, Maybe: &sub{N: 200},
	}
	for _, s := range []*sample{{}, &full} {
		b, err := encode(s.fields)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, h := range []string{"ddffffffff", "c6ffffffff", "81a173ff", "82a17301a17302", "9101", "9191919191"} {
		b, err := hex.DecodeString(h)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s sample
		if n := allocated(func() {
			if decode(b, s.fields) != nil {
				s = sample{}
			}
		}); n > uint64(64*len(b)+64<<10) {
			t.Errorf("decoding %d bytes allocates %d", len(b), n)
		}
		if decode(b, new(sample).fields) != nil {
			return
		}
		again, err := encode(s.fields)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x decodes, and encodes to %x (%v)", b, again, err)
		}
		askOracle(t, b, &s)
		if got := oracleEncodes(t, &s); !bytes.Equal(got, b) {
			t.Errorf("the oracle encodes %+v to %x, and we to %x", s, got, b)
		}
	})
}

// oracleEncodes returns s as the msgpack library encodes it.
func oracleEncodes(t interface{ Fatal(...any) }, s *sample) []byte {
	var b bytes.Buffer
	e := msgpack.NewEncoder(&b)
	raw := s.Bytes
	if raw == nil {
		raw = []byte{} // the library writes nil for nil
	}
	err := errors.Join(e.EncodeArrayLen(12), e.EncodeBool(s.Bool), e.EncodeUint(s.Uint), e.EncodeInt(s.Int),
		e.EncodeInt(int64(s.Small)), e.EncodeFloat64(s.Float), e.EncodeString(s.Text), e.EncodeBytes(raw), e.EncodeBytes(s.Fixed[:]))
	if s.Time.IsZero() {
		err = errors.Join(err, e.EncodeNil())
	} else {
		err = errors.Join(err, e.EncodeInt(s.Time.UnixNano()))
	}
	err = errors.Join(err, e.EncodeInt(int64(s.Duration)), e.EncodeArrayLen(len(s.List)))
	for _, text := range s.List {
		err = errors.Join(err, e.EncodeString(text))
	}
	if s.Maybe == nil {
		err = errors.Join(err, e.EncodeNil())
	} else {
		err = errors.Join(err, e.EncodeArrayLen(1), e.EncodeInt(s.Maybe.N))
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// askOracle compares s, decoded from b, with what the msgpack library reads.
func askOracle(t *testing.T, b []byte, s *sample) {
	t.Helper()
	d := msgpack.NewDecoder(bytes.NewReader(b))
	n, err := d.DecodeArrayLen()
	if err != nil || n != 12 {
		t.Fatalf("the oracle reads an array of %d (%v)", n, err)
	}
	check := func(field string, same bool, err error) {
		t.Helper()
		if err != nil || !same {
			t.Errorf("%s: the oracle disagrees about %x (%v)", field, b, err)
		}
	}
	flag, err := d.DecodeBool()
	check("bool", flag == s.Bool, err)
	unsigned, err := d.DecodeUint64()
	check("uint", unsigned == s.Uint, err)
	signed, err := d.DecodeInt64()
	check("int", signed == s.Int, err)
	small, err := d.DecodeInt64()
	check("small", small == int64(s.Small), err)
	float, err := d.DecodeFloat64()
	check("float", float == s.Float, err)
	text, err := d.DecodeString()
	check("text", text == s.Text, err)
	raw, err := d.DecodeBytes()
	check("bytes", bytes.Equal(raw, s.Bytes), err)
	fixed, err := d.DecodeBytes()
	check("fixed", bytes.Equal(fixed, s.Fixed[:]), err)
	askOracleAboutTheRest(d, s, check)
}

func askOracleAboutTheRest(d *msgpack.Decoder, s *sample, check func(string, bool, error)) {
	at, err := d.DecodeInterface()
	if at == nil {
		check("time", s.Time.IsZero(), err)
	} else {
		check("time", asInt(at) == s.Time.UnixNano(), err)
	}
	length, err := d.DecodeInt64()
	check("duration", length == int64(s.Duration), err)
	n, err := d.DecodeArrayLen()
	check("list", n == len(s.List), err)
	for _, want := range s.List {
		got, err := d.DecodeString()
		check("list element", got == want, err)
	}
	n, err = d.DecodeArrayLen() // -1 for nil
	check("maybe", (n == -1) == (s.Maybe == nil), err)
	if s.Maybe != nil {
		v, err := d.DecodeInt64()
		check("maybe", n == 1 && v == s.Maybe.N, err)
	}
}

// asInt returns an integer of any type as the oracle gives it.
func asInt(v any) int64 {
	switch n := v.(type) {
	case int8:
		return int64(n)
	case int16:
		return int64(n)
	case int32:
		return int64(n)
	case int64:
		return n
	case uint8:
		return int64(n)
	case uint16:
		return int64(n)
	case uint32:
		return int64(n)
	case uint64:
		return int64(n)
	default:
		return -1
	}
}

// FuzzSharedStrings checks that sharing strings changes nothing.
func FuzzSharedStrings(f *testing.F) {
	f.Add([]byte("\x93\xa1a\xa1a\xa1b"))
	f.Add([]byte("\x92\xa1a\xa1\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var plain, shared []string
		list := func(into *[]string) func(*wire.Codec) {
			return func(c *wire.Codec) { wire.Slice(c, into, 100, func(c *wire.Codec, s *string) { c.String(s, 100) }) }
		}
		want := decode(b, list(&plain))
		c := wire.NewDecoder(b)
		c.Share(wire.NewStrings())
		list(&shared)(c)
		if _, err := c.Finish(); (err == nil) != (want == nil) {
			t.Errorf("shared: %v, else: %v", err, want)
		}
		if len(plain) != len(shared) {
			t.Errorf("shared: %q, else: %q", shared, plain)
		}
	})
}
