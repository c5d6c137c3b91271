package api

import (
	"context"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
)

// ReplayRequest asks what would have happened under other rules. Without groups and
// policy those of the time are replayed, which must make no difference.
type ReplayRequest struct {
	From   string                   `json:"from,omitempty" format:"moment" doc:"RFC 3339, or seq:N; not given: the beginning of the log"`
	To     string                   `json:"to,omitempty" format:"moment" doc:"RFC 3339, or seq:N; not given: now"`
	Groups *projection.GroupsConfig `json:"groups,omitempty" doc:"as PUT /v1/groups takes them"`
	Policy *projection.PolicyConfig `json:"policy,omitempty" doc:"as PUT /v1/policy takes it"`
}

// ReplayAnswer sets what was recorded and what would have been side by side. It knows
// what was recorded alone: requests that would have gone elsewhere have no answer.
type ReplayAnswer struct {
	AsOfSeq      uint64 `json:"as_of_seq"`
	FromSeq      uint64 `json:"from_seq" doc:"the first record replayed; 0: none"`
	ToSeq        uint64 `json:"to_seq"`
	From         Time   `json:"from"`
	To           Time   `json:"to"`
	Observations int    `json:"observations" doc:"recorded answers that were decided again"`
	Limits       int    `json:"limits" doc:"of those, 429s"`
	Avoided      int    `json:"avoided_429s" doc:"exact, of the requests that say when they were sent: the account would have been blocked then, and was not"`
	Undated      int    `json:"undated_429s" doc:"429s that came with neither a lease nor started_at: whether they would have been avoided is not known"`
	// ExtraFree is an upper bound of what could have been served.
	ExtraFree      float64       `json:"extra_free_seconds" doc:"upper bound: time in which accounts would have been free for the models they were asked for, and were not; requests that were not made are not simulated"`
	ExtraBlocked   float64       `json:"extra_blocked_seconds" doc:"the other way round"`
	Differing      []EpisodePair `json:"differing_episodes" nullable:"false" doc:"in the order of their starts, at most 1000"`
	DifferingCount int           `json:"differing_count"`
	First          *Difference   `json:"first_difference" doc:"the first decision that differs; null: none does"`
}

// EpisodePair is an episode as it was, and as it would have been.
type EpisodePair struct {
	Recorded *EpisodeRow `json:"recorded" doc:"null: it was not"`
	Replayed *EpisodeRow `json:"replayed" doc:"null: it would not have been"`
}

// Difference is a decision that differs.
type Difference struct {
	Seq      uint64   `json:"seq"`
	At       Time     `json:"at"`
	Account  string   `json:"account"`
	Model    string   `json:"model"`
	Because  string   `json:"because"`
	Recorded *Verdict `json:"recorded"`
	Replayed *Verdict `json:"replayed" doc:"null: the request would not have been sent"`
}

// Verdict is what was decided about an upstream's answer.
type Verdict struct {
	Target string      `json:"target,omitempty"`
	Class  string      `json:"class,omitempty"`
	Effect string      `json:"effect"`
	Why    string      `json:"why,omitempty"`
	Until  Time        `json:"until"`
	Source string      `json:"source,omitempty"`
	Clamp  *EventClamp `json:"clamp,omitempty"`
}

// replay answers what other rules would have done. One at a time: each takes the memory
// of two states.
func (s *Server) replay(ctx context.Context, b *Backend, _ *none, body *ReplayRequest) (ReplayAnswer, error) {
	q := projection.Replay{Groups: body.Groups, Policy: body.Policy}
	var err error
	if q.From, q.To, err = parseRange(body.From, body.To); err != nil {
		return ReplayAnswer{}, err
	}
	select {
	case s.replaying <- struct{}{}:
		defer func() { <-s.replaying }()
	case <-ctx.Done():
		return ReplayAnswer{}, ctx.Err()
	}
	r, err := b.Engine.Past().Replay(ctx, q)
	if err != nil {
		return ReplayAnswer{}, err
	}
	a := NewReplayAnswer(r, b.Identities)
	a.AsOfSeq = uint64(b.Engine.State().Head().Seq)
	return *a, nil
}

// NewReplayAnswer renders what a replay found, with ids as given.
func NewReplayAnswer(r *projection.Replayed, ids *identity.Book) *ReplayAnswer {
	a := &ReplayAnswer{
		FromSeq: uint64(r.From), ToSeq: uint64(r.To), From: Time{r.FromAt}, To: Time{r.ToAt}, Observations: r.Observations,
		Limits: r.Limits, Avoided: r.Avoided, Undated: r.Undated, ExtraFree: r.ExtraFree.Seconds(), ExtraBlocked: r.ExtraBlocked.Seconds(),
		Differing: []EpisodePair{}, DifferingCount: r.DifferingCount,
	}
	for _, p := range r.Differing {
		a.Differing = append(a.Differing, EpisodePair{episodeOrNone(p.Recorded, r.ToAt, ids), episodeOrNone(p.Replayed, r.ToAt, ids)})
	}
	if d := r.First; d != nil {
		model := ""
		if e, ok := d.Record.Event.(*events.LimitObserved); ok {
			model = e.Model
		}
		a.First = &Difference{
			Seq: uint64(d.Record.Seq), At: Time{d.Record.At}, Account: ids.Given(d.Record.Account), Model: model,
			Because: d.Because, Recorded: newVerdict(d.Recorded), Replayed: newVerdict(d.Replayed),
		}
	}
	return a
}

func episodeOrNone(e *projection.Episode, at time.Time, ids *identity.Book) *EpisodeRow {
	if e == nil {
		return nil
	}
	return new(NewEpisodeRow(e, at, ids))
}

func newVerdict(v *projection.Verdict) *Verdict {
	if v == nil {
		return nil
	}
	return &Verdict{
		Target: v.Target, Class: string(v.Class), Effect: string(v.Effect), Why: v.Why, Until: Time{v.Until}, Source: v.Source,
		Clamp: newClamp(v.Clamp),
	}
}
