package signal

import (
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
)

func TestReadInstant(t *testing.T) {
	may := func(h, m, s int) time.Time { return time.Date(2026, 5, 1, h, m, s, 0, time.UTC) }
	for _, c := range []struct {
		raw  string
		want time.Time
		lost string
	}{
		{"1777636860", may(12, 1, 0), ""},
		{"1777636860000", may(12, 1, 0), ""},
		{"1777636860000000", may(12, 1, 0), ""},
		{"1777636860000000000", may(12, 1, 0), ""},
		{"1777636860.5", may(12, 1, 0).Add(500 * time.Millisecond), ""},
		{"2026-05-01T12:01:00Z", may(12, 1, 0), ""},
		{"2026-05-01T20:01:00+08:00", may(12, 1, 0), ""},
		{"2026-05-01T12:01:00.25Z", may(12, 1, 0).Add(250 * time.Millisecond), ""},
		{"2026-05-01 12:01:00 UTC", may(12, 1, 0), ""},
		{"2026-05-01 12:01:00Z", may(12, 1, 0), ""},
		{"2026-05-01 at 12:01 UTC", may(12, 1, 0), ""},
		{"2026-05-01 20:01:00", may(12, 1, 0), ""}, // in the zone asked for
		{"2026-05-01T20:01:00", may(12, 1, 0), ""},
		{"Fri, 01 May 2026 12:01:00 GMT", may(12, 1, 0), ""},
		{"Friday, 01-May-26 12:01:00 GMT", may(12, 1, 0), ""},
		{"Fri May  1 12:01:00 2026", may(12, 1, 0), ""},
		{"0", time.Time{}, events.LostZero},
		{"12", time.Time{}, events.LostPast},
		{"9999-12-31T23:59:59Z", time.Time{}, events.LostNotFinite},
		{"253402300799", time.Time{}, events.LostPast}, // read as milliseconds: 1978
		{"99999999999999999999999", time.Time{}, events.LostNotFinite},
		{"1970-01-01T00:00:00Z", time.Time{}, events.LostPast},
		{"-5", time.Time{}, events.LostNegative},
		{"Infinity", time.Time{}, events.LostNotFinite},
		{"tomorrow", time.Time{}, events.LostUnreadable},
		{"2026-13-41T99:99:99Z", time.Time{}, events.LostUnreadable},
		{"", time.Time{}, events.LostUnreadable},
	} {
		got, lost := readInstant(c.raw, chinaTime)
		if lost != c.lost || !got.Equal(c.want) {
			t.Errorf("readInstant(%q) = %v, %q; want %v, %q", c.raw, got, lost, c.want, c.lost)
		}
	}
}

func TestSentenceInstant(t *testing.T) {
	for _, c := range []struct{ message, want string }{
		{"Your limit will reset at 2026-07-14 07:49:08", "2026-07-14 07:49:08"},
		{"Your limit will reset at 2026-07-14 07:49:08.", "2026-07-14 07:49:08"},
		{"您的限额将在 2026-08-25 07:41:44 重置。", "2026-08-25 07:41:44"},
		{"resets at 2026-05-25T00:00:00+08:00", "2026-05-25T00:00:00+08:00"},
		{"resets at 2026-05-25T00:00:00+08:00 (2056)", "2026-05-25T00:00:00+08:00"},
		{"resets at 2026-05-25T00:00:00.123Z.", "2026-05-25T00:00:00.123Z"},
		{"You will regain access on 2026-06-01 at 00:00 UTC.", "2026-06-01 at 00:00 UTC"},
		{"Claude AI usage limit reached|1774472400", "1774472400"},
		{"model gpt-4 as of 2026-05-25 00:00:00", ""}, // no word of a reset
		{"reset on 2026-05-25", ""},                   // no time of day
		{"reset 12026-05-25 00:00:00", ""},
		{"limit reached|soon", ""},
	} {
		got, ok := sentenceInstant(c.message, asciiLower(c.message))
		if got != c.want || ok != (c.want != "") {
			t.Errorf("sentenceInstant(%q) = %q, %v; want %q", c.message, got, ok, c.want)
		}
	}
}

// The size of the number, or its form, tells a delay from an instant.
func TestResetHeaderForms(t *testing.T) {
	for _, c := range []struct {
		raw     string
		seconds float64
		at      int64 // unix
	}{
		{"12", 12, 0},
		{"1s", 1, 0},
		{"6m0s", 360, 0},
		{"1777636860", 0, 1777636860},
		{"1777636860000", 0, 1777636860},
		{"2026-05-01T12:01:00Z", 0, 1777636860},
		{"Fri, 01 May 2026 12:01:00 GMT", 0, 1777636860},
	} {
		var a answer
		a.reset("header:x", c.raw)
		h := a.hints[0]
		if h.Lost != "" || c.at == 0 && h.Seconds != c.seconds || c.at != 0 && h.At.Unix() != c.at {
			t.Errorf("%q: %+v", c.raw, h)
		}
	}
}
