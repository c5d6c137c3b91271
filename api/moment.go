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
	// outlook knows when cells are probed; nil: they are not, since the log cannot be
	// written
	outlook *projection.Outlook
}

func newView(s *projection.State, now time.Time) *view {
	return &view{s, now, projection.NewOutlook(s, now)}
}

// present returns the view of now.
func (b *Backend) present() *view {
	published := b.Engine.View()
	v := newView(published.State, b.Engine.Now().UTC())
	if published.Degraded {
		v.outlook = nil
	}
	return v
}

// nextProbe returns when a cell is probed next, if it cools.
func (v *view) nextProbe(a *projection.Account, target string) Time {
	if v.outlook == nil {
		return Time{}
	}
	return Time{v.outlook.NextProbe(a, target)}
}

// viewAt returns the state of now, or of the moment that a query's at names. As of
// a seq, statuses are judged by the time of that record.
func (b *Backend) viewAt(ctx context.Context, at string) (*view, error) {
	if at == "" {
		return b.present(), nil
	}
	m, err := parseMoment("at", at)
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
	return newView(s, m.At.UTC()), nil
}

// parseMoment reads a moment; name is of the parameter or member that it is the value of.
func parseMoment(name, text string) (projection.Moment, error) {
	if n, ok := strings.CutPrefix(text, "seq:"); ok {
		seq, err := strconv.ParseUint(n, 10, 64)
		if err != nil || seq == 0 {
			return projection.Moment{}, invalid("%s: %q is no seq: write seq:N, from seq:1", name, text)
		}
		return projection.Moment{Seq: events.Seq(seq)}, nil
	}
	t, err := parseTime(text)
	if err != nil {
		return projection.Moment{}, invalid("%s: %v, or seq:N", name, err)
	}
	return projection.Moment{At: t}, nil
}
