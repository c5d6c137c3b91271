package api

import (
	"context"

	"github.com/abeyance/abeyance/projection"
)

// execute runs an operator's command as the request's principal. A body can only
// add on whose behalf.
func (b *Backend) execute(ctx context.Context, onBehalfOf string, do projection.Intent) (projection.Outcome, error) {
	return b.Engine.Execute(ctx, projection.Command{Origin: exchangeOf(ctx).origin("operator", onBehalfOf), Do: do})
}

// change says what a command did to the log.
func change(o *projection.Outcome) Change {
	c := Change{AsOfSeq: uint64(o.AsOf), Unchanged: o.Unchanged, Repeated: o.Repeated}
	if n := len(o.Records); n > 0 {
		first, last := o.Records[0], o.Records[n-1]
		c.Seq, c.LastSeq = new(uint64(first.Seq)), new(uint64(last.Seq))
		c.CorrelationID = first.CorrelationID
	}
	return c
}
