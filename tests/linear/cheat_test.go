package linear

import (
	"context"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// cheat is a way of breaking the promise, which must be caught.
type cheat string

// The cheats.
const (
	cheatStale cheat = "a pick answers from an older view"
	cheatLift  cheat = "a lift removes the cooldown too"
	cheatIdle  cheat = "a suspension is acknowledged and not executed"
	cheatEarly cheat = "the log acknowledges before it stores"
	cheatFull  cheat = "the disk is full, says the log, and has stored"
	cheatLate  cheat = "a command is executed after its caller was told that it is not"
)

func allCheats() []cheat {
	return []cheat{cheatStale, cheatLift, cheatIdle, cheatEarly, cheatFull, cheatLate}
}

// cheating executes a command, honestly unless this history cheats.
func (c *client) cheating(ctx context.Context, q call, x projection.Command) (projection.Outcome, error) {
	if c.cheat == cheatIdle && q.verb == verbSuspend {
		return c.idle(ctx, x)
	}
	out, err := c.engine.Execute(ctx, x)
	switch {
	case c.cheat == cheatLift && q.verb == verbLift && len(out.Records) > 0:
		also := q
		also.verb = verbClear
		_, _ = c.engine.Execute(context.Background(), command(intent(also)))
	case c.cheat == cheatLate && ctx.Err() != nil && err != nil:
		_, _ = c.engine.Execute(context.Background(), x)
	}
	return out, err
}

// idle answers as if a suspension had been executed.
func (c *client) idle(ctx context.Context, x projection.Command) (projection.Outcome, error) {
	dry := *x.Do.(*projection.Suspend)
	dry.DryRun = true
	x.Do = &dry
	out, err := c.engine.Execute(ctx, x)
	if err != nil || out.Unchanged != "" {
		return out, err
	}
	for _, cell := range out.Cells {
		out.Records = append(out.Records, events.Record{Seq: out.AsOf + 1, Draft: events.Draft{
			Account: cell.Account, Event: &events.Suspended{Target: cell.Target, Reason: dry.Reason},
		}})
	}
	return out, nil
}
