package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
)

// family: a 429 for one Claude model freezes the Claude family of that account, and
// nothing else.
func (d *demo) family(ctx context.Context) error {
	d.act("one 429 freezes a family of models, not the account")
	d.up.exhaust("ag-1", "claude-opus-4-6-thinking")
	out, err := d.call(ctx, "ag-1", "claude-opus-4-6-thinking")
	if err != nil {
		return err
	}
	d.say("ag-1 was answered 429 for claude-opus-4-6-thinking: read as %s, %s %s until %s [record %d]",
		out.Class, out.Target, out.Effect, out.Until.Format(time.RFC3339), out.Seq)
	claude, err := d.picks("claude-sonnet-4-6", 4)
	if err != nil {
		return err
	}
	gptoss, err := d.picks("gpt-oss-120b-medium", 4)
	if err != nil {
		return err
	}
	gemini, err := d.picks("gemini-3-flash", 3)
	if err != nil {
		return err
	}
	why, err := d.engine.Why(ctx, projection.Question{Account: "ag-1", Target: "claude"})
	if err != nil {
		return err
	}
	d.say("why: %s", why.Sentence)
	d.yours("abeyance why ag-1 claude")
	return d.check(out.Target == "claude" && !strings.Contains(claude+gptoss, "ag-1") && gemini == "ag-1 ag-2 ag-3",
		"ag-1 serves no Claude or gpt-oss model, and still serves Gemini")
}

// capacity: the provider's own shortage blocks one model of one account, briefly.
func (d *demo) capacity(ctx context.Context) error {
	d.act("a 503 without capacity blocks one model only")
	d.up.fail("gemini-3-pro-high")
	out, err := d.call(ctx, "ag-2", "gemini-3-pro-high")
	if err != nil {
		return err
	}
	d.say("ag-2 was answered 503 for gemini-3-pro-high: read as %s, %s %s for %s [record %d]",
		out.Class, out.Target, out.Effect, time.Until(out.Until).Round(time.Second), out.Seq)
	high, err := d.picks("gemini-3-pro-high", 3)
	if err != nil {
		return err
	}
	low, err := d.picks("gemini-3-pro-low", 3)
	if err != nil {
		return err
	}
	d.yours("abeyance status ag-2")
	return d.check(!strings.Contains(high, "ag-2") && strings.Contains(low, "ag-2"), "ag-2 still serves the sibling gemini-3-pro-low")
}

// manual: an operator's pause outlives whatever automation and bulk clears do.
func (d *demo) manual(ctx context.Context) error {
	d.act("a suspension by hand survives a bulk clear")
	suspended, err := d.do(ctx, &projection.Suspend{
		Filter: projection.Filter{Account: "ag-3"}, Reason: "invoice dispute, ask Wei before lifting", For: 48 * time.Hour,
	})
	if err != nil {
		return err
	}
	d.say("ag-3 is suspended for 2 days [record %d]", suspended.Records[0].Seq)
	cleared, err := d.do(ctx, &projection.Clear{Filter: projection.Filter{Provider: provider}, Reason: "quota was topped up"})
	if err != nil {
		return err
	}
	d.say("a clear of every cooldown of %s ended %s [records %d to %d]", provider, cells(cleared.Cells),
		cleared.Records[0].Seq, cleared.Records[len(cleared.Records)-1].Seq)
	got, err := d.picks("claude-sonnet-4-6", 4)
	if err != nil {
		return err
	}
	d.yours(`abeyance suspend ag-3 '*' --for 2d -r "invoice dispute"; abeyance clear --provider antigravity --yes`)
	return d.check(!strings.Contains(got, "ag-3") && strings.Contains(got, "ag-1"), "the cooldowns are gone, the suspension and its reason are not")
}

// poison: a request that every account is refused for is the request's fault.
func (d *demo) poison(ctx context.Context) error {
	d.act("one bad request does not freeze the pool")
	ids := []string{"ag-1", "ag-2", "ag-3", "ag-4", "ag-5", "ag-6"}
	e, closeLog, err := openEngine(ctx, d.dir+"/poison", &projection.Options{Accounts: accounts(ids)})
	if err != nil {
		return err
	}
	defer closeLog()
	u, err := startUpstream(map[string]int{}, time.Hour)
	if err != nil {
		return err
	}
	defer u.close()
	p, err := startProxy(u.url, overAbeyance(router.New(e, nil)))
	if err != nil {
		return err
	}
	defer p.close()
	for range 3 { // the client tries again, as clients do
		post(p.client, p.url+"/models/claude-sonnet-4-6", "the-bad-one", `{"contents": "`+poisoned+`"}`)
	}
	if err := p.trouble.err(); err != nil {
		return fmt.Errorf("act %d failed: %w", d.acts, err)
	}
	var frozen, spared []string
	for r, err := range e.History(ctx, events.Query{}) {
		if err != nil {
			return err
		}
		switch x, ok := r.Event.(*events.LimitObserved); {
		case !ok:
		case x.Why == events.WhyPoison:
			spared = append(spared, r.Account)
		case x.Effect == events.EffectStarted:
			frozen = append(frozen, r.Account)
		}
	}
	_, denied := u.counts()
	d.say("a malformed request was refused with 429 on %d tries; %s were paused for seconds,", denied, strings.Join(frozen, " "))
	d.say("then the guard saw the request: %s were not", strings.Join(spared, " "))
	d.yours("abeyance events --kind limit_observed")
	return d.check(len(frozen) == 3 && len(spared) > 0, "three accounts answered alike, and no further one is blocked")
}

func (d *demo) do(ctx context.Context, do projection.Intent) (projection.Outcome, error) {
	return d.engine.Execute(ctx, projection.Command{Origin: events.Origin{Actor: "operator:demo", Via: events.ViaGo}, Do: do})
}

func cells(list []events.Cell) string {
	var names []string
	for _, c := range list {
		names = append(names, fmt.Sprintf("%s on %s", c.Target, c.Account))
	}
	return strings.Join(names, ", ")
}
