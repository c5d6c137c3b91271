package events_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
	"github.com/abeyance/abeyance/events/wire"
)

func TestSealIsPure(t *testing.T) {
	drafts := eventstest.Drafts()
	first, second := sealAll(t, drafts), sealAll(t, drafts)
	if diff := cmp.Diff(first, second, cmp.AllowUnexported(events.Record{})); diff != "" {
		t.Errorf("sealing twice differs:\n%s", diff)
	}
	if diff := cmp.Diff(eventstest.Drafts(), drafts); diff != "" {
		t.Errorf("sealing changed the drafts:\n%s", diff)
	}
	head := genesis(goldenLog)
	for i, d := range drafts { // one by one is the same chain
		one, err := events.Seal(head, eventstest.Epoch(), []events.Draft{d})
		if err != nil {
			t.Fatal(err)
		}
		if one[0].Hash != first[i].Hash {
			t.Fatalf("record %d sealed alone has another hash", one[0].Seq)
		}
		head = head.Next(one[0])
	}
	if none, err := events.Seal(head, time.Now(), nil); err != nil || len(none) != 0 {
		t.Errorf("sealing nothing gives %d records and %v", len(none), err)
	}
}

// TestSealOwnsItsBytes keeps the reuse of the encoder's buffer from showing.
func TestSealOwnsItsBytes(t *testing.T) {
	recs := sealAll(t, eventstest.Drafts())
	head := genesis(goldenLog)
	for _, r := range recs {
		if got := events.ChainHash(head.Hash, r.Encoded()); got != r.Hash {
			t.Errorf("%s: the bytes changed after they were sealed", r.Kind())
		}
		head = head.Next(r)
	}
}

func TestRule34TimeNeverGoesBack(t *testing.T) {
	newest := eventstest.Epoch()
	local := time.FixedZone("local", 7200)
	for _, c := range []struct {
		name     string
		at, want time.Time
	}{
		{"later", newest.Add(time.Second), newest.Add(time.Second)},
		{"the same", newest, newest},
		{"an hour back", newest.Add(-time.Hour), newest},
		{"ten years back", newest.AddDate(-10, 0, 0), newest},
		{"the zero time", time.Time{}, newest},
		{"another zone", newest.Add(time.Second).In(local), newest.Add(time.Second)},
	} {
		head := genesis(goldenLog)
		head.Seq, head.At = 41, newest
		recs, err := events.Seal(head, c.at, eventstest.Drafts()[:2])
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		for _, r := range recs {
			if r.At != c.want {
				t.Errorf("%s: record %d is dated %v, want %v", c.name, r.Seq, r.At, c.want)
			}
		}
	}
	for _, at := range []time.Time{time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2263, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if _, err := events.Seal(genesis(goldenLog), at, eventstest.Drafts()); !errors.Is(err, wire.ErrTooLarge) {
			t.Errorf("the year %d: got the error %v, want it refused", at.Year(), err)
		}
	}
	now := time.Now() // with a monotonic reading
	recs, err := events.Seal(genesis(goldenLog), now, eventstest.Drafts()[:1])
	if err != nil {
		t.Fatal(err)
	}
	if back, err := events.Decode(recs[0].Encoded()); err != nil || back.At != recs[0].At {
		t.Errorf("sealed at %#v, read %#v (%v)", recs[0].At, back.At, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	recs := sealAll(t, eventstest.Drafts())
	zero, one := genesis(goldenLog), genesis(goldenLog).Next(recs[0])
	late := one
	late.At = one.At.Add(time.Nanosecond)
	misnumbered, err := events.Seal(events.Head{Seq: 7, Hash: one.Hash}, one.At, eventstest.Drafts()[:1])
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		head events.Head
		rec  events.Record
		seq  events.Seq // of the error
	}{
		{"a gap", zero, recs[1], 1},
		{"a record twice", one, recs[0], 2},
		{"another log", genesis("another"), recs[0], 1},
		{"a record that says another seq", one, events.Record{Seq: 2, Hash: misnumbered[0].Hash}, 2},
		{"a record from before the one before", late, recs[1], 2},
	} {
		encoded := c.rec.Encoded()
		if encoded == nil {
			encoded = misnumbered[0].Encoded()
		}
		if _, err := events.Open(c.head, c.rec.Seq, encoded, c.rec.Hash); !isChainError(err, c.seq) {
			t.Errorf("%s: got the error %v, want a *ChainError for record %d", c.name, err, c.seq)
		}
	}
}

// TestCheckAppend: only appending to a log gives a record its hash.
func TestCheckAppend(t *testing.T) {
	head := genesis(goldenLog)
	recs, err := new(events.Sealer).Encode(nil, head, eventstest.Epoch(), eventstest.Drafts())
	if err != nil {
		t.Fatal(err)
	}
	if err := events.CheckAppend(head, recs); err == nil {
		t.Error("records without hashes pass for a chain")
	}
	if err := events.Link(genesis("another").Next(recs[0]), recs); err == nil || recs[0].Hash != (events.Hash{}) {
		t.Errorf("where they do not belong: %v, with the hash %s", err, recs[0].Hash)
	}
	if err := events.Link(head, recs); err != nil {
		t.Fatal(err)
	}
	if err := events.CheckAppend(head, recs); err != nil {
		t.Errorf("linked records: %v", err)
	}
	recs[2].Hash[0] ^= 1
	if err := events.Link(head, recs); err == nil {
		t.Error("a record with another hash is linked")
	}
}

// bigDraft returns a draft that takes more than n bytes.
func bigDraft(e *events.GroupsDefined, n int) events.Draft {
	label := strings.Repeat("x", events.MaxID)
	for range n/events.MaxID + 1 {
		e.Aliases = append(e.Aliases, events.Alias{Model: label})
	}
	return events.Draft{Event: e}
}

func TestSealRefusesWhatIsTooLarge(t *testing.T) {
	text := func(n int) string { return strings.Repeat("x", n) }
	reason := func(n int) events.Event { return &events.Lifted{Target: "claude", Reason: text(n)} }
	cells := make([]events.Cell, events.MaxExpired)
	for i := range cells {
		cells[i] = events.Cell{Account: fmt.Sprint("account-", i), Target: "claude"}
	}
	manyHints := slices.Repeat([]events.Hint{{Source: "x"}}, events.MaxLost+1)
	for _, c := range []struct {
		name  string
		draft events.Draft
		fits  bool
	}{
		{"the longest reason", events.Draft{Event: reason(events.MaxText)}, true},
		{"a longer reason", events.Draft{Event: reason(events.MaxText + 1)}, false},
		{"the longest account", events.Draft{Account: text(events.MaxID), Event: reason(1)}, true},
		{"a longer account", events.Draft{Account: text(events.MaxID + 1), Event: reason(1)}, false},
		{"a longer actor", events.Draft{Origin: events.Origin{Actor: text(events.MaxName + 1)}, Event: reason(1)}, false},
		{"invalid UTF-8", events.Draft{Account: "\xff", Event: reason(1)}, false},
		{"too many losing hints", events.Draft{Event: &events.LimitObserved{Lost: manyHints}}, false},
		{"256 short cells", events.Draft{Event: &events.Expired{Cells: cells}}, true},
		{"257 cells", events.Draft{Event: &events.Expired{Cells: make([]events.Cell, events.MaxExpired+1)}}, false},
		{"cells of more than 8 KiB", events.Draft{Event: &events.Expired{
			Cells: slices.Repeat([]events.Cell{{Account: text(events.MaxID), Target: "*"}}, 40),
		}}, false},
		{"definitions of 8 KiB", bigDraft(new(events.GroupsDefined), events.MaxRecord), true},
		{"definitions of 1 MiB", bigDraft(new(events.GroupsDefined), events.MaxDefinitions), false},
	} {
		recs, err := events.Seal(genesis(goldenLog), eventstest.Epoch(), []events.Draft{c.draft})
		switch {
		case c.fits && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case !c.fits && (err == nil || len(recs) > 0):
			t.Errorf("%s: sealed %d records, want it refused", c.name, len(recs))
		case !c.fits && !errors.Is(err, wire.ErrTooLarge) && !errors.Is(err, wire.ErrMalformed):
			t.Errorf("%s: got the error %v, want one of package wire", c.name, err)
		}
	}
}

func TestDecodeRefusesWhatIsTooLarge(t *testing.T) {
	if _, err := events.Decode(make([]byte, events.MaxDefinitions+1)); !errors.Is(err, wire.ErrTooLarge) {
		t.Errorf("more than 1 MiB: got the error %v", err)
	}
}

// edited seals a record and lets edit change its bytes.
func edited(t *testing.T, edit func(b []byte) []byte) error {
	t.Helper()
	draft := events.Draft{Event: &events.Lifted{Target: "claude", Reason: "done"}}
	_, err := events.Decode(edit(slices.Clone(sealAll(t, []events.Draft{draft})[0].Encoded())))
	return err
}

func TestNewerFormatsStopTheReader(t *testing.T) {
	kind := func(to string) func([]byte) []byte {
		return func(b []byte) []byte { return []byte(strings.Replace(string(b), "lifted", to, 1)) }
	}
	for name, edit := range map[string]func([]byte) []byte{
		"a newer record format": func(b []byte) []byte { b[1] = 2; return b },
		"a kind of the future":  kind("melted"),
		"a newer payload": func(b []byte) []byte {
			return []byte(strings.Replace(string(b), "\x93\x01\xa6claude", "\x93\x02\xa6claude", 1))
		},
		"a newer record format with another field":       func(b []byte) []byte { b[0], b[1] = b[0]+1, 2; return append(b, 0xc0) },
		"a newer record format of another shape":         func(b []byte) []byte { return append([]byte{0x92, 0x02, 0x81, 0xa1}, b...) },
		"a newer record format with more than 15 fields": func(b []byte) []byte { return append([]byte{0xdc, 0, 16, 2}, b...) },
		"a newer payload with another field": func(b []byte) []byte {
			return append([]byte(strings.Replace(string(b), "\x93\x01\xa6claude", "\x94\x02\xa6claude", 1)), 0xc0)
		},
		"a kind of the future that is a map": func(b []byte) []byte {
			return []byte(strings.Replace(string(kind("melted")(b)), "\x93\x01\xa6claude", "\x81\x01\xa6claude", 1))
		},
	} {
		err := edited(t, edit)
		if newer, ok := errors.AsType[*events.FormatError](err); !ok {
			t.Errorf("%s: got the error %v, want a *FormatError", name, err)
		} else if !strings.Contains(newer.Error(), "newer") {
			t.Errorf("%s: the message %q does not say what to do", name, newer)
		}
	}
	for name, edit := range map[string]func([]byte) []byte{
		"record format 0": func(b []byte) []byte { b[1] = 0; return b },
		"payload format 0": func(b []byte) []byte {
			return []byte(strings.Replace(string(b), "\x93\x01\xa6claude", "\x93\x00\xa6claude", 1))
		},
		"another arity": func(b []byte) []byte { b[0]--; return b },
		"a byte more":   func(b []byte) []byte { return append(b, 0xc0) },
	} {
		if err := edited(t, edit); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: got the error %v, want it malformed", name, err)
		}
	}
	if err := edited(t, func(b []byte) []byte { return b }); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}

func TestAccounts(t *testing.T) {
	cell := func(id string) events.Cell { return events.Cell{Account: id, Target: "claude"} }
	for _, c := range []struct {
		draft events.Draft
		want  []string
	}{
		{events.Draft{Account: "a", Event: &events.Lifted{}}, []string{"a"}},
		{events.Draft{Event: &events.PolicyDefined{}}, nil},
		{events.Draft{Event: &events.Expired{Cells: []events.Cell{cell("a"), cell("a"), cell("b")}}}, []string{"a", "b"}},
		{events.Draft{Event: &events.Expired{}}, nil},
	} {
		if got := (events.Record{Draft: c.draft}).Accounts(); !slices.Equal(got, c.want) {
			t.Errorf("%s is about %q, want %q", c.draft.Event.Kind(), got, c.want)
		}
	}
}

func TestHashText(t *testing.T) {
	want := events.Genesis(goldenLog)
	text, err := want.MarshalText()
	if err != nil || string(text) != want.String() {
		t.Fatalf("MarshalText gives %q (%v), want %q", text, err, want)
	}
	var got events.Hash
	if err := got.UnmarshalText(text); err != nil || got != want {
		t.Errorf("read back: %s (%v), want %s", got, err, want)
	}
	for _, bad := range []string{"", "00", string(text[:63]), string(text) + "0", strings.Repeat("g", 64)} {
		if err := got.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is read as a hash", bad)
		}
	}
}

// TestDecoderIsDecode compares the sharing decoder with the plain one.
func TestDecoderIsDecode(t *testing.T) {
	dec := events.NewDecoder()
	for range 3 {
		head := genesis(goldenLog)
		for _, r := range sealAll(t, eventstest.Drafts()) {
			got, err := dec.Open(head, r.Seq, r.Encoded(), r.Hash)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(r, got, cmp.AllowUnexported(events.Record{})); diff != "" {
				t.Errorf("%s (-sealed +decoded):\n%s", r.Kind(), diff)
			}
			if _, err := dec.Open(head, r.Seq, r.Encoded()[1:], r.Hash); !isChainError(err, r.Seq) {
				t.Errorf("%s, cut: got the error %v, want a *ChainError", r.Kind(), err)
			}
			if _, err := dec.Decode(r.Encoded()[:9]); err == nil {
				t.Errorf("%s, cut, decodes", r.Kind())
			}
			head = head.Next(r)
		}
	}
}
