package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events/wire"
)

// readers are the descriptions that the strictness tests decode with.
func readers() map[string]func(*wire.Codec) {
	return map[string]func(*wire.Codec){
		"bool":   func(c *wire.Codec) { c.Bool(new(bool)) },
		"uint":   func(c *wire.Codec) { c.Uint64(new(uint64)) },
		"int":    func(c *wire.Codec) { c.Int64(new(int64)) },
		"small":  func(c *wire.Codec) { wire.Int(c, new(int)) },
		"float":  func(c *wire.Codec) { c.Float(new(float64)) },
		"string": func(c *wire.Codec) { c.String(new(string), 1000) },
		"bytes":  func(c *wire.Codec) { c.Bytes(new([]byte), 1000) },
		"fixed":  func(c *wire.Codec) { c.Fixed(make([]byte, 2)) },
		"time":   func(c *wire.Codec) { c.Time(new(time.Time)) },
		"pair":   func(c *wire.Codec) { c.Array(2); c.Bool(new(bool)); c.Bool(new(bool)) },
		"list": func(c *wire.Codec) {
			wire.Slice(c, new([]bool), 1000, (*wire.Codec).Bool)
		},
		"maybe": func(c *wire.Codec) {
			wire.Optional(c, new(*bool), (*wire.Codec).Bool)
		},
	}
}

func TestRefusesWhatIsNotCanonical(t *testing.T) {
	read := readers()
	for _, c := range []struct{ field, hex, why string }{
		{"uint", "cc00", "longer than needed"},
		{"uint", "cc7f", "longer than needed"},
		{"uint", "cd00ff", "longer than needed"},
		{"uint", "ce0000ffff", "longer than needed"},
		{"uint", "cf00000000ffffffff", "longer than needed"},
		{"uint", "d001", "a signed form"},
		{"uint", "ff", "negative"},
		{"int", "d07f", "a signed form of a positive number"},
		{"int", "d0e0", "longer than needed"},
		{"int", "d1ff80", "longer than needed"},
		{"int", "d2ffff8000", "longer than needed"},
		{"int", "d3ffffffff80000000", "longer than needed"},
		{"int", "d30000000000000001", "a signed form of a positive number"},
		{"int", "cf8000000000000000", "beyond 63 bits"},
		{"small", "ce80000000", "beyond 32 bits"},
		{"small", "d3ffffffff7fffffff", "beyond 32 bits"},
		{"bool", "c0", "nil"},
		{"bool", "01", "a number"},
		{"float", "cb7ff8000000000000", "not a number"},
		{"float", "cbfff8000000000001", "not a number"},
		{"float", "cb7ff0000000000000", "infinite"},
		{"float", "cbfff0000000000000", "infinite"},
		{"float", "cb8000000000000000", "-0"},
		{"float", "ca3f800000", "a 32-bit float"},
		{"float", "01", "an integer"},
		{"string", "d90161", "longer header than needed"},
		{"string", "da000161", "longer header than needed"},
		{"string", "db0000000161", "longer header than needed"},
		{"string", "a1ff", "not UTF-8"},
		{"string", "a3eda080", "a surrogate"},
		{"string", "a2c080", "an overlong form"},
		{"string", "a261", "beyond the end"},
		{"string", "c40161", "bytes"},
		{"string", "c0", "nil"},
		{"bytes", "a161", "a string"},
		{"bytes", "c0", "nil"},
		{"bytes", "c5000161", "longer header than needed"},
		{"bytes", "c60000000161", "longer header than needed"},
		{"bytes", "c40261", "beyond the end"},
		{"fixed", "c40161", "too short"},
		{"fixed", "c4036161", "beyond the end"},
		{"time", "cb0000000000000001", "a float"},
		{"time", "d6ff00000000", "an extension type"},
		{"pair", "91c2", "one element"},
		{"pair", "93c2c2c2", "three elements"},
		{"pair", "dc0002c2c2", "longer header than needed"},
		{"pair", "dd00000002c2c2", "longer header than needed"},
		{"pair", "81c2c2", "a map"},
		{"pair", "de0001c2c2", "a map"},
		{"list", "81c2c2", "a map"},
		{"list", "80", "an empty map"},
		{"list", "df00000001c2c2", "a map"},
		{"list", "dd00000002c2c2", "longer header than needed"},
		{"list", "c0", "nil"},
		{"list", "ddffffffff", "four billion elements"},
		{"list", "92c2", "beyond the end"},
		{"maybe", "c1", "a byte of no form"},
	} {
		b, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		if err := decode(b, read[c.field]); !errors.Is(err, wire.ErrMalformed) && !errors.Is(err, wire.ErrTooLarge) {
			t.Errorf("%s %s, %s: got the error %v, want it refused", c.field, c.hex, c.why, err)
		}
	}
}

func TestRefusesBytesAfterTheValue(t *testing.T) {
	for field, b := range map[string]string{
		"bool": "c2", "uint": "07", "int": "ff", "float": "cb3ff0000000000000", "string": "a161", "bytes": "c40161",
		"fixed": "c4026161", "time": "c0", "pair": "92c2c3", "list": "90", "maybe": "c0",
	} {
		raw, _ := hex.DecodeString(b)
		if err := decode(raw, readers()[field]); err != nil {
			t.Errorf("%s %s: %v", field, b, err)
		}
		if err := decode(append(raw, 0xc0), readers()[field]); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s %s and a byte: got the error %v, want it refused", field, b, err)
		}
	}
}

// TestHostileLengths declares much and sends little: nothing may be allocated for
// what is not there. The first of them ends a process that decodes with
// vmihailenco/msgpack.
func TestHostileLengths(t *testing.T) {
	for _, h := range []string{"ddffffffff", "dcffff", "dbffffffff", "daffff", "d9ff", "c6ffffffff", "c5ffff", "c4ff", "9f", "bf"} {
		raw, _ := hex.DecodeString(h)
		for field := range readers() {
			if n := allocated(func() { _ = decode(raw, readers()[field]) }); n > 64<<10 {
				t.Errorf("%s as %s allocates %d bytes", h, field, n)
			}
		}
		huge := func(c *wire.Codec) { wire.Slice(c, new([]string), math.MaxInt, stringOfAnyLength) }
		if n := allocated(func() { _ = decode(raw, huge) }); n > 64<<10 {
			t.Errorf("%s without a bound allocates %d bytes", h, n)
		}
	}
	nested := bytes.Repeat([]byte{0x91}, 1<<20)
	if n := allocated(func() { _ = decode(nested, new(sample).fields) }); n > 64<<10 {
		t.Errorf("a million arrays in each other allocate %d bytes", n)
	}
}

func stringOfAnyLength(c *wire.Codec, s *string) { c.String(s, math.MaxInt) }

// allocated returns the bytes that fn allocates.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
