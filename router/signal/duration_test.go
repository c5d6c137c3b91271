package signal

import (
	"math"
	"testing"

	"github.com/abeyance/abeyance/events"
)

func TestReadDelay(t *testing.T) {
	for _, c := range []struct {
		raw  string
		unit float64
		want float64
		lost string
	}{
		// Go durations, as in Google's metadata and OpenAI's headers.
		{"71h15m27.791609974s", 1, 256527.791609974, ""},
		{"9m38.016s", 1, 578.016, ""},
		{"634.846608ms", 1, 0.634846608, ""},
		{"500ms", 1, 0.5, ""}, // not 500 minutes
		{"10m", 1, 600, ""},
		{"6m0s", 1, 360, ""},
		{"1h", 1, 3600, ""},
		{"120ms", 1, 0.12, ""},
		{"15µs", 1, 15e-6, ""},
		{"1.5h", 1, 5400, ""},
		// Protobuf durations.
		{"581981.300432511s", 1, 581981.300432511, ""},
		{"58s", 1, 58, ""},
		// Bare numbers count in the field's unit.
		{"30", 1, 30, ""},
		{"1.5", 1, 1.5, ""},
		{"4210", 1e-3, 4.21, ""},
		{" 7 ", 1, 7, ""},
		{"+7", 1, 7, ""},
		{"1e3", 1, 1000, ""},
		{"9999999999", 1, 9999999999, ""}, // beyond a time.Duration, kept as stated
		{"999999999999", 1, 999999999999, ""},
		// Words.
		{"19hr", 1, 68400, ""},
		{"15 hours 23 minutes", 1, 55380, ""},
		{"15 hours, 23 minutes", 1, 55380, ""},
		{"1 hour and 5 minutes", 1, 3900, ""},
		{"5631 seconds", 1, 5631, ""},
		{"5,631 seconds", 1, 5631, ""},
		{"12 days", 1, 12 * 86400, ""},
		{"2D 3H", 1, 183600, ""},
		{"1 week", 1, 7 * 86400, ""},
		{"30 秒", 1, 30, ""},
		{"5小时", 1, 18000, ""},
		// Clocks.
		{"01:32:22", 1, 5542, ""},
		{"13.02:36:21", 1, 13*86400 + 9381, ""},
		// What is no hint, and why.
		{"0", 1, 0, events.LostZero},
		{"0s", 1, 0, events.LostZero},
		{"0.000", 1, 0, events.LostZero},
		{"-0", 1, 0, events.LostZero},
		{"-30", 1, -30, events.LostNegative},
		{"-3s", 1, -3, events.LostNegative},
		{"NaN", 1, 0, events.LostNotFinite},
		{"Infinity", 1, 0, events.LostNotFinite},
		{"-inf", 1, 0, events.LostNotFinite},
		{"+Inf", 1, 0, events.LostNotFinite},
		{"", 1, 0, events.LostUnreadable},
		{"soon", 1, 0, events.LostUnreadable},
		{"5 parsecs", 1, 0, events.LostUnreadable},
		{"5s later", 1, 0, events.LostUnreadable},
		{"3/5", 1, 0, events.LostUnreadable},
		{"50%", 1, 0, events.LostUnreadable},
		{"2026-05-01", 1, 0, events.LostUnreadable},
		{"0x10", 1, 0, events.LostUnreadable},
		{"1e999", 1, 0, events.LostUnreadable},
		{"1.2.3", 1, 0, events.LostUnreadable},
	} {
		got, lost := readDelay(c.raw, c.unit)
		if lost != c.lost || c.lost == "" && math.Abs(got-c.want) > 1e-9*max(1, c.want) {
			t.Errorf("readDelay(%q, %v) = %v, %q; want %v, %q", c.raw, c.unit, got, lost, c.want, c.lost)
		}
	}
}

func TestSentenceDelay(t *testing.T) {
	for _, c := range []struct {
		message string
		want    float64 // -1: none
	}{
		{"your quota will reset after 25h20m26s.", 91226},
		{"individual quota reached. resets in 71h15m27s.", 256527},
		{"please retry in 44.097740004s.", 44.097740004},
		{"please retry in 900.2ms.", 0.9002},
		{"please try again after 1 seconds", 1},
		{"rate limit of 50 per 86400s exceeded. please wait 5631 seconds before retrying.", 5631},
		{"weekly usage limit reached. resets in 19hr", 68400},
		{"subscription quota exceeded. retry in 5hr 3min", 18180},
		{"wait for your limit to reset in 15 hours 23 minutes.", 55380},
		{"quota will be replenished in 13.02:36:21.", 13*86400 + 9381},
		{"try again in about 2 hours", 7200},
		{"retry after: 30", 30},
		{"resets in 12 days", 12 * 86400},
		{"请在 30 秒后重试", 30},
		{"请 5 分钟后再试", 300},
		{"your quota will reset after 0s.", 0},
		{"try again in a few minutes", -1},
		{"try again later", -1},
		{"limit 30000, used 29990, requested 20", -1},
		{"resets in 2026-05-01", -1},
		{"retry after 3/5 of them", -1},
		{"wait", -1},
		{"retry after retry after retry after 4s", 4},
		{"服务后", -1},
	} {
		_, got, ok := sentenceDelay(c.message)
		if ok != (c.want >= 0) || ok && math.Abs(got-c.want) > 1e-9*max(1, c.want) {
			t.Errorf("sentenceDelay(%q) = %v, %v; want %v", c.message, got, ok, c.want)
		}
	}
}
