package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/abeyance/abeyance/events/wire"
)

// sample has a field of every type that the format knows.
type sample struct {
	Bool     bool
	Uint     uint64
	Int      int64
	Small    int
	Float    float64
	Text     string
	Bytes    []byte
	Fixed    [4]byte
	Time     time.Time
	Duration time.Duration
	List     []string
	Maybe    *sub
}

type sub struct{ N int64 }

func (s *sample) fields(c *wire.Codec) {
	c.Array(12)
	c.Bool(&s.Bool)
	wire.Uint(c, &s.Uint)
	c.Int64(&s.Int)
	wire.Int(c, &s.Small)
	c.Float(&s.Float)
	wire.Text(c, &s.Text, 1<<17)
	c.Bytes(&s.Bytes, 1<<17)
	c.Fixed(s.Fixed[:])
	c.Time(&s.Time)
	c.Duration(&s.Duration)
	wire.Slice(c, &s.List, 1<<17, func(c *wire.Codec, t *string) { c.String(t, 1<<17) })
	wire.Optional(c, &s.Maybe, func(c *wire.Codec, v *sub) {
		c.Array(1)
		c.Int64(&v.N)
	})
}

func encode(fields func(*wire.Codec)) ([]byte, error) {
	c := wire.NewEncoder(nil)
	fields(c)
	return c.Finish()
}

func decode(b []byte, fields func(*wire.Codec)) error {
	c := wire.NewDecoder(b)
	fields(c)
	_, err := c.Finish()
	return err
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := draw(t)
		b, err := encode(want.fields)
		if err != nil {
			t.Fatalf("encoding %+v: %v", want, err)
		}
		var got sample
		if err := decode(b, got.fields); err != nil {
			t.Fatalf("decoding %x: %v", b, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-encoded +decoded):\n%s", diff)
		}
		if oracle := oracleEncodes(t, &want); !bytes.Equal(b, oracle) {
			t.Fatalf("%+v is encoded to %x, and by the oracle to %x", want, b, oracle)
		}
		for n := range b {
			if err := decode(b[:n], new(sample).fields); !errors.Is(err, wire.ErrMalformed) {
				t.Fatalf("%d of %d bytes decode: %v", n, len(b), err)
			}
		}
	})
}

func draw(t *rapid.T) sample {
	s := sample{
		Bool:     rapid.Bool().Draw(t, "bool"),
		Uint:     rapid.Uint64().Draw(t, "uint"),
		Int:      rapid.Int64().Draw(t, "int"),
		Small:    int(rapid.Int32().Draw(t, "small")),
		Float:    rapid.Float64().Draw(t, "float") + 0, // no -0
		Text:     strings.ToValidUTF8(rapid.String().Draw(t, "text"), "?"),
		Duration: time.Duration(rapid.Int64().Draw(t, "duration")),
		List:     rapid.SliceOfN(rapid.SampledFrom([]string{"", "a", "provider", "é"}), 0, 40).Draw(t, "list"),
	}
	if math.Signbit(s.Float) && s.Float == 0 {
		s.Float = 0
	}
	if b := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"); len(b) > 0 {
		s.Bytes = b
	}
	if len(s.List) == 0 {
		s.List = nil
	}
	if rapid.Bool().Draw(t, "timed") {
		s.Time = time.Unix(0, rapid.Int64().Draw(t, "time")).UTC()
	}
	if rapid.Bool().Draw(t, "maybe") {
		s.Maybe = &sub{N: rapid.Int64().Draw(t, "n")}
	}
	return s
}

// integer is the description of an integer of either type.
func integer[T uint64 | int64](c *wire.Codec, v *T) {
	switch p := any(v).(type) {
	case *uint64:
		c.Uint64(p)
	case *int64:
		c.Int64(p)
	}
}

func TestShortestIntegers(t *testing.T) {
	for _, c := range []struct {
		value int64
		hex   string
	}{
		{0, "00"},
		{1, "01"},
		{0x7f, "7f"},
		{0x80, "cc80"},
		{0xff, "ccff"},
		{0x100, "cd0100"},
		{0xffff, "cdffff"},
		{0x10000, "ce00010000"},
		{0xffffffff, "ceffffffff"},
		{0x100000000, "cf0000000100000000"},
		{math.MaxInt64, "cf7fffffffffffffff"},
		{-1, "ff"},
		{-32, "e0"},
		{-33, "d0df"},
		{-128, "d080"},
		{-129, "d1ff7f"},
		{-32768, "d18000"},
		{-32769, "d2ffff7fff"},
		{math.MinInt32, "d280000000"},
		{math.MinInt32 - 1, "d3ffffffff7fffffff"},
		{math.MinInt64, "d38000000000000000"},
	} {
		b, err := encode(func(w *wire.Codec) { integer(w, &c.value) })
		if got := hex.EncodeToString(b); err != nil || got != c.hex {
			t.Errorf("%d is written as %s (%v), want %s", c.value, got, err, c.hex)
		}
		var back int64
		if err := decode(b, func(w *wire.Codec) { integer(w, &back) }); err != nil || back != c.value {
			t.Errorf("%s is read as %d (%v), want %d", c.hex, back, err, c.value)
		}
		unsigned := uint64(0)
		err = decode(b, func(w *wire.Codec) { integer(w, &unsigned) })
		if c.value < 0 && !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s is read as the unsigned %d (%v), want it refused", c.hex, unsigned, err)
		} else if c.value >= 0 && (err != nil || unsigned != uint64(c.value)) {
			t.Errorf("%s is read as the unsigned %d (%v), want %d", c.hex, unsigned, err, c.value)
		}
	}
}

func TestShortestLengths(t *testing.T) {
	for _, c := range []struct {
		n                    int
		text, bytes, arrayOf string // headers
	}{
		{0, "a0", "c400", "90"},
		{1, "a1", "c401", "91"},
		{15, "af", "c40f", "9f"},
		{16, "b0", "c410", "dc0010"},
		{31, "bf", "c41f", "dc001f"},
		{32, "d920", "c420", "dc0020"},
		{255, "d9ff", "c4ff", "dc00ff"},
		{256, "da0100", "c50100", "dc0100"},
		{65535, "daffff", "c5ffff", "dcffff"},
		{65536, "db00010000", "c600010000", "dd00010000"},
	} {
		s, b, n := strings.Repeat("x", c.n), bytes.Repeat([]byte{'x'}, c.n), c.n
		headers := map[string]func(*wire.Codec){
			c.text:    func(w *wire.Codec) { w.String(&s, c.n) },
			c.bytes:   func(w *wire.Codec) { w.Bytes(&b, c.n) },
			c.arrayOf: func(w *wire.Codec) { n = w.Len(n, c.n) },
		}
		for want, fields := range headers {
			got, err := encode(fields)
			if err != nil || !strings.HasPrefix(hex.EncodeToString(got), want) {
				t.Errorf("length %d: written as %.12x... (%v), want the header %s", c.n, got, err, want)
			}
			if want == c.arrayOf {
				got = append(got, make([]byte, c.n)...) // elements of a byte each
			}
			d := wire.NewDecoder(got)
			if fields(d); d.Err() != nil {
				t.Errorf("length %d: header %s: %v", c.n, want, d.Err())
			}
		}
	}
}

func TestEncoderRefusesWhatCannotBeRead(t *testing.T) {
	long, bad := strings.Repeat("x", 11), "\xff"
	raw, ten := []byte(long), make([]bool, 11)
	big, nan, inf, negZero := math.MaxInt32+1, math.NaN(), math.Inf(-1), math.Copysign(0, -1)
	early, late := time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		fields func(*wire.Codec)
		want   error
	}{
		"a long string":         {func(c *wire.Codec) { c.String(&long, 10) }, wire.ErrTooLarge},
		"a string of bad UTF-8": {func(c *wire.Codec) { c.String(&bad, 10) }, wire.ErrMalformed},
		"many bytes":            {func(c *wire.Codec) { c.Bytes(&raw, 10) }, wire.ErrTooLarge},
		"a long list":           {func(c *wire.Codec) { wire.Slice(c, &ten, 10, (*wire.Codec).Bool) }, wire.ErrTooLarge},
		"an int of 33 bits":     {func(c *wire.Codec) { wire.Int(c, &big) }, wire.ErrTooLarge},
		"not a number":          {func(c *wire.Codec) { c.Float(&nan) }, wire.ErrMalformed},
		"infinity":              {func(c *wire.Codec) { c.Float(&inf) }, wire.ErrMalformed},
		"-0":                    {func(c *wire.Codec) { c.Float(&negZero) }, wire.ErrMalformed},
		"the year 1600":         {func(c *wire.Codec) { c.Time(&early) }, wire.ErrTooLarge},
		"the year 9999":         {func(c *wire.Codec) { c.Time(&late) }, wire.ErrTooLarge},
	} {
		if _, err := encode(c.fields); !errors.Is(err, c.want) {
			t.Errorf("%s: got the error %v, want %v", name, err, c.want)
		}
	}
}

func TestNothingHappensAfterAnError(t *testing.T) {
	failure := errors.New("a check of the caller's")
	for _, c := range []*wire.Codec{wire.NewEncoder(nil), wire.NewDecoder([]byte{0x9c, 0xc2})} {
		c.Fail(failure)
		s := sample{Maybe: &sub{N: 1}, List: []string{"a"}}
		s.fields(c)
		c.Fail(errors.New("another"))
		if b, err := c.Finish(); err != failure || c.Err() != failure || !c.Decoding() && len(b) > 0 {
			t.Errorf("after a failure: %d bytes and the error %v, want none and the first", len(b), err)
		}
	}
}

func TestResetStartsAnew(t *testing.T) {
	enc := wire.NewEncoder(nil)
	enc.Fail(errors.New("spoilt"))
	enc.Reset(nil)
	n := uint64(300)
	enc.Uint64(&n)
	b, err := enc.Finish()
	if err != nil {
		t.Fatal(err)
	}
	dec := wire.NewDecoder([]byte{0xc1})
	dec.Bool(new(bool))
	dec.Reset(b)
	var got uint64
	dec.Uint64(&got)
	if _, err := dec.Finish(); err != nil || got != n {
		t.Errorf("after Reset: %d (%v), want %d", got, err, n)
	}
}

func TestSharedStrings(t *testing.T) {
	long := strings.Repeat("long ", 40)
	words := []string{"", "codex", "antigravity", "codex", long, "é", long, "codex"}
	for i := range 10_000 {
		words = append(words, fmt.Sprint("request ", i), "codex")
	}
	list := func(c *wire.Codec) {
		wire.Slice(c, &words, len(words), func(c *wire.Codec, s *string) { c.String(s, 1000) })
	}
	b, err := encode(list)
	if err != nil {
		t.Fatal(err)
	}
	want := words
	c := wire.NewDecoder(bytes.Clone(b))
	c.Share(wire.NewStrings())
	list(c)
	if _, err := c.Finish(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, words); diff != "" {
		t.Errorf("strings differ when shared:\n%s", diff)
	}
	repeated := wire.NewDecoder(nil)
	repeated.Share(wire.NewStrings())
	one, _ := encode(func(c *wire.Codec) { c.String(&words[1], 10) })
	if n := testing.AllocsPerRun(100, func() {
		repeated.Reset(one)
		var s string
		repeated.String(&s, 10)
	}); n != 0 {
		t.Errorf("a repeated string takes %v allocations, want none", n)
	}
}

func TestSharedStringsStayStrict(t *testing.T) {
	c := wire.NewDecoder(nil)
	c.Share(wire.NewStrings())
	for range 3 {
		c.Reset([]byte{0xa1, 0xff})
		var s string
		if c.String(&s, 10); !errors.Is(c.Err(), wire.ErrMalformed) {
			t.Errorf("invalid UTF-8 is read as %q (%v), want it refused", s, c.Err())
		}
	}
}
