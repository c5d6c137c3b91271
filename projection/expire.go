package projection

import (
	"slices"
	"strings"

	"github.com/abeyance/abeyance/events"
)

// maxExpireDrafts bounds the records of one Expire, so that a storm of deadlines
// does not hold up other commands. The loop asks again.
const maxExpireDrafts = 64

// expireRoom is how many bytes of cells one expired record takes, below
// events.MaxRecord by the size of the largest envelope.
const expireRoom = events.MaxRecord - 2<<10

// Expire records the blocks whose time has come. Truth does not depend on it: a
// block ends at its deadline whether or not that is written down.
type Expire struct{}

// decide implements Intent.
func (*Expire) decide(d *decider) error {
	due := d.s.overdue(d.now, maxExpireDrafts*events.MaxExpired)
	for _, dimension := range []events.Dimension{events.DimensionCooling, events.DimensionSuspended} {
		d.expire(dimension, slices.DeleteFunc(slices.Clone(due), func(x deadline) bool { return x.dimension != dimension }))
	}
	if len(d.out.Drafts) == 0 {
		d.unchanged("nothing is due")
	}
	return nil
}

// expire emits as few records as hold the cells. Within a record cells are sorted,
// so that an account appears in one run.
func (d *decider) expire(dimension events.Dimension, due []deadline) {
	for len(due) > 0 && len(d.out.Drafts) < maxExpireDrafts {
		n, room := 0, expireRoom
		for n < len(due) && n < events.MaxExpired {
			room -= len(due[n].account) + len(due[n].target) + 8
			if room < 0 {
				break
			}
			n++
		}
		e := &events.Expired{Dimension: dimension, Due: due[n-1].at}
		for _, x := range due[:n] {
			e.Cells = append(e.Cells, events.Cell{Account: x.account, Target: x.target})
		}
		slices.SortFunc(e.Cells, compareCells)
		account := ""
		if n == 1 {
			account = e.Cells[0].Account
		}
		d.emit(account, e)
		due = due[n:]
	}
}

func compareCells(a, b events.Cell) int {
	if a.Account != b.Account {
		return strings.Compare(a.Account, b.Account)
	}
	return strings.Compare(a.Target, b.Target)
}
