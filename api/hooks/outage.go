package hooks

import (
	"fmt"
	"slices"
	"time"

	"github.com/abeyance/abeyance/projection"
)

// maxOutages bounds the outages that wait to be told; the oldest that are over go first.
const maxOutages = 8

// outages follows whether an engine is degraded. That stands in no record, so that it is
// told once for each outage of the same process.
type outages struct {
	recovered bool // the end of an outage is told, too
	now       *item
	items     []*item
}

// look notes how an engine is, as of a head.
func (o *outages) look(degraded bool, head projection.Position) {
	switch {
	case degraded && o.now == nil:
		n := outageNotice(head)
		n.Since = head.At
		n.Sentence = "The log cannot be written: picks go on from the last state, and nothing new is recorded."
		o.now = &item{start: &n}
		o.push(o.now)
	case !degraded && o.now != nil:
		n := outageNotice(head)
		n.Over, n.How = true, projection.EndRecovered
		n.Subject, n.Since = o.now.start.Subject, o.now.start.Since
		n.Sentence = fmt.Sprintf("The log could not be written for %s, until %s.",
			max(n.At.Sub(n.Since), 0).Round(time.Second), n.At.UTC().Format(time.RFC3339))
		if o.pending(o.now) {
			o.now.end = &n
		} else if o.recovered {
			o.push(&item{end: &n})
		}
		o.now = nil
	}
}

func outageNotice(head projection.Position) projection.Notice {
	return projection.Notice{
		Kind: projection.NoticeDegraded, Subject: fmt.Sprintf("engine\x00%d", head.At.UnixNano()), At: head.At, Seq: head.Seq,
	}
}

func (o *outages) pending(x *item) bool { return slices.Contains(o.items, x) }

func (o *outages) push(x *item) {
	o.items = append(o.items, x)
	if len(o.items) > maxOutages {
		o.items = o.items[1:]
	}
}
