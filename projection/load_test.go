package projection

import (
	"bytes"
	"testing"
)

// TestRule33LoadRefusesWhatIsNoDump: every truncation of a dump is refused, and a
// changed byte is refused or gives a state with a dump of its own.
func TestRule33LoadRefusesWhatIsNoDump(t *testing.T) {
	x := newScenario(t)
	x.report("a1", opus, quota(600))
	x.do(suspend("a2", "*", "by hand"))
	whole := dump(t, x.s)
	for n := range whole {
		if _, err := Load(whole[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes were loaded", n, len(whole))
		}
	}
	if _, err := Load(append(bytes.Clone(whole), 0)); err == nil {
		t.Error("a byte too many was loaded")
	}
	changed := 0
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 0x10
		s, err := Load(b)
		if err != nil {
			continue
		}
		changed++
		if again := dump(t, s); bytes.Equal(again, whole) {
			t.Errorf("byte %d does not matter", i)
		}
	}
	if changed == 0 {
		t.Error("no changed byte was loaded: the check above checks nothing")
	}
}
