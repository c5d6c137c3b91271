package api

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// view is a state and the instant to judge it by.
type view struct {
	state *projection.State
	now   time.Time
}

// viewAt returns the state of now, or of the moment that a query's at names. As of
// a seq, statuses are judged by the time of that record.
func (b *Backend) viewAt(ctx context.Context, at string) (*view, error) {
	if at == "" {
		return &view{b.Engine.State(), b.Engine.Now().UTC()}, nil
	}
	m, err := parseMoment(at)
	if err != nil {
		return nil, err
	}
	s, err := b.Engine.StateAt(ctx, m)
	if err != nil {
		return nil, err
	}
	if m.Seq != 0 {
		m.At = s.Head().At
	}
	return &view{s, m.At.UTC()}, nil
}

func parseMoment(at string) (projection.Moment, error) {
	if n, ok := strings.CutPrefix(at, "seq:"); ok {
		seq, err := strconv.ParseUint(n, 10, 64)
		if err != nil || seq == 0 {
			return projection.Moment{}, invalid("at: %q is no seq: write seq:N, from seq:1", at)
		}
		return projection.Moment{Seq: events.Seq(seq)}, nil
	}
	t, err := parseTime(at)
	if err != nil {
		return projection.Moment{}, invalid("at: %v, or seq:N", err)
	}
	return projection.Moment{At: t}, nil
}
