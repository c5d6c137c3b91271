package stream

import "testing"

// ledger is what one reader was sent.
type ledger struct {
	Last    uint64 // the newest seq
	Frames  int
	Gaps    int // times that seqs were left out
	Repeats int // seqs that had come before
}

// note takes the seq of a frame.
func (l *ledger) note(seq uint64) {
	switch {
	case seq <= l.Last:
		l.Repeats++
		return
	case seq > l.Last+1:
		l.Gaps++
	}
	l.Last = seq
	l.Frames++
}

func TestLedgerSeesGapsAndRepeats(t *testing.T) {
	for _, c := range []struct {
		seqs          []uint64
		gaps, repeats int
	}{
		{seqs: []uint64{5, 6, 7, 8}},
		{seqs: []uint64{5, 7, 8}, gaps: 1},
		{seqs: []uint64{6, 7, 8}, gaps: 1},
		{seqs: []uint64{5, 5, 6}, repeats: 1},
		{seqs: []uint64{5, 7, 6, 8}, gaps: 1, repeats: 1},
		{seqs: []uint64{4}, repeats: 1},
	} {
		l := ledger{Last: 4}
		for _, seq := range c.seqs {
			l.note(seq)
		}
		if l.Gaps != c.gaps || l.Repeats != c.repeats {
			t.Errorf("%v: %+v, want %d gaps and %d repeats", c.seqs, l, c.gaps, c.repeats)
		}
	}
}
