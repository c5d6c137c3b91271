package events_test

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
)

// FuzzRecord checks that Decode never panics nor allocates out of proportion, and
// that whatever it accepts is exactly what Seal would write.
func FuzzRecord(f *testing.F) {
	for _, r := range sealAll(f, eventstest.Drafts()) {
		f.Add(r.Encoded())
	}
	f.Add([]byte("\x9c\x01\x01\xc0\xdd\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, err := events.Decode(b)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > uint64(64*len(b)+64<<10) {
			t.Errorf("decoding %d bytes allocates %d", len(b), n)
		}
		if err != nil {
			return
		}
		if again := resealed(t, r); !bytes.Equal(again, b) {
			t.Errorf("%x decodes, and encodes to %x", b, again)
		}
	})
}

// FuzzScrub checks the promises of Scrub on any text.
func FuzzScrub(f *testing.F) {
	for _, s := range planted() {
		f.Add(s.text, 200)
	}
	f.Add("\xff\x00\u202e\n", 3)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = max(0, limit%2000)
		checkScrubbed(t, text, limit)
	})
}
