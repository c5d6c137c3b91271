package projection

import "sync/atomic"

// pending is a command on its way through the writer.
type pending struct {
	command Command
	report  Report       // room for the command's own
	state   atomic.Int32 // waiting, taken or withdrawn: who wins the swap decides
	outcome Outcome
	err     error
	// The command's records among the batch's: to be looked up once they are stored, since
	// only then they have their hashes.
	from, to int
	done     chan struct{} // has a value when outcome and err are set
}

// pend returns a pending for a command, whose sender does here what needs no state. Those
// of an engine are used again, and not by another one: in a test its channels may belong to
// a bubble.
func (e *Engine) pend(c Command) *pending {
	p, ok := e.spare.Get().(*pending)
	if !ok {
		p = &pending{done: make(chan struct{}, 1)}
	}
	p.command = c
	if r, ok := c.Do.(*Report); ok {
		if p.report = *r; p.report.normalize() == nil {
			p.command.Do = &p.report
		}
	}
	return p
}

// settle is the writer's last touch of a command.
func (p *pending) settle() { p.done <- struct{}{} }

// leave returns what became of a settled command, and gives up its pending.
func (e *Engine) leave(p *pending) (Outcome, error) {
	out, err := p.outcome, p.err
	p.command, p.report, p.outcome, p.err, p.from, p.to = Command{}, Report{}, Outcome{}, nil, 0, 0
	p.state.Store(stateWaiting)
	e.spare.Put(p)
	if err != nil {
		return Outcome{}, err
	}
	return out, nil
}

const (
	stateWaiting int32 = iota
	stateTaken
	stateWithdrawn
)

func (p *pending) take() bool     { return p.state.CompareAndSwap(stateWaiting, stateTaken) }
func (p *pending) withdraw() bool { return p.state.CompareAndSwap(stateWaiting, stateWithdrawn) }
