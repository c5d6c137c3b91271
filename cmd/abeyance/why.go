package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// whyQuestion is what why is asked.
type whyQuestion struct {
	account, target, provider, model string
	at                               projection.Moment // zero: now
	limit                            int               // of the cells explained; 0: all
}

func newWhyCommand(env *environment) *cobra.Command {
	var q whyQuestion
	var at string
	var check, watch bool
	cmd := &cobra.Command{
		Use:     "why ACCOUNT [TARGET] | why --provider PROVIDER --model MODEL",
		Aliases: []string{"explain"},
		Short:   "Say why an account or a model is blocked, on which evidence, until when",
		Long: `Answer in one sentence, then name the records behind it, the evidence, the rule, and
what would end the block. A target is a group (claude), one model
(model:gemini-2.5-pro) or everything ('*'). With the daemon stopped the data directory
is read itself.

With --watch it is shown until Ctrl-C: on a terminal in its place, else again whenever
something has changed (with -o jsonl as one line).`,
		Example: `  abeyance why a1 claude
  abeyance why a1 --at 2026-11-20T09:00:00Z
  abeyance why --provider antigravity --model claude-sonnet-4-6 --check`,
		Args: arguments(0, 2, "at most ACCOUNT and TARGET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := q.take("why", args)
			if err == nil {
				q.at, err = parsePoint("--at", at, env.now())
			}
			if err != nil {
				return err
			}
			if watch {
				return env.watchWhy(cmd.Context(), q, check)
			}
			answer, err := env.why(cmd.Context(), q)
			if err != nil {
				return err
			}
			if err := env.print(answer, func(w io.Writer) error { return writeWhy(w, answer) }); err != nil {
				return err
			}
			if check && answer.Status != string(projection.StatusAvailable) {
				return &exitError{code: exitBlocked}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.provider, "provider", "", "ask about all accounts of this `provider`")
	f.StringVar(&q.model, "model", "", "with --provider: the `model` as a client names it")
	f.StringVar(&at, "at", "", "as it was at this `moment`: RFC 3339, 2h (ago) or seq:N")
	f.IntVarP(&q.limit, "limit", "n", 100, "explain at most `n` cells; 0: all")
	f.BoolVar(&check, "check", false, "exit with 3 if it is blocked")
	f.BoolVarP(&watch, watchFlag, "w", false, "go on showing it, until Ctrl-C")
	return cmd
}

// take takes over what is asked about; verb begins the question that is missing.
func (q *whyQuestion) take(verb string, args []string) error {
	asksModel := q.provider != "" || q.model != ""
	switch {
	case asksModel && len(args) > 0:
		return usage("ask about an ACCOUNT, or about --provider and --model, not both")
	case asksModel && (q.provider == "" || q.model == ""):
		return usage("--provider and --model belong together")
	case !asksModel && len(args) == 0:
		return usage("%s what? Name an ACCOUNT, or --provider and --model", verb)
	case q.limit < 0:
		return usage("--limit %d is negative", q.limit)
	}
	if len(args) > 0 {
		q.account = args[0]
	}
	if len(args) > 1 {
		q.target = args[1]
	}
	return nil
}

// why asks the daemon, or the log itself if it is stopped.
func (env *environment) why(ctx context.Context, q whyQuestion) (*api.WhyAnswer, error) {
	c, err := env.reader()
	if err != nil {
		return nil, err
	}
	if c == nil {
		return env.whyOffline(ctx, q)
	}
	return q.fetch(ctx, c)
}

// fetch asks the daemon, page by page.
func (q *whyQuestion) fetch(ctx context.Context, c *client) (*api.WhyAnswer, error) {
	ask, answer := q.call(), new(api.WhyAnswer)
	for {
		ask.query.Set("page_size", strconv.Itoa(pageSize(q.limit, len(answer.Cells))))
		next := new(api.WhyAnswer)
		if err := c.do(ctx, ask, next); err != nil {
			return nil, err
		}
		next.Cells = append(answer.Cells, next.Cells...)
		answer = next
		if answer.NextPageToken == nil || len(answer.Cells) == q.limit {
			return answer, nil
		}
		ask.query.Set("page_token", *answer.NextPageToken)
	}
}

func (env *environment) watchWhy(ctx context.Context, q whyQuestion, check bool) error {
	switch {
	case check:
		return usage("--check answers once, and --watch goes on: give one of them, or use 'abeyance wait'")
	case q.at != (projection.Moment{}):
		return usage("--watch shows what is, and --at what was: give one of them")
	}
	l := live{env: env, query: params("account", q.account), fetch: func(ctx context.Context) (*picture, error) {
		c, err := env.daemon()
		if err != nil {
			return nil, err
		}
		a, err := q.fetch(ctx, c)
		if err != nil {
			return nil, err
		}
		return &picture{answer: a, at: a.Now.Time, frozen: true, paint: func(env *environment, _ time.Time) error {
			return env.print(a, func(w io.Writer) error { return writeWhy(w, a) })
		}}, nil
	}}
	return l.run(ctx)
}

// call is the question as the API takes it.
func (q *whyQuestion) call() call {
	return get("/v1/why", params("account", q.account, "target", q.target, "provider", q.provider, "model", q.model, "at", pointText(q.at)))
}

func writeWhy(w io.Writer, a *api.WhyAnswer) error {
	var b strings.Builder
	fmt.Fprintln(&b, plain(a.Sentence))
	for i := range a.Cells {
		writeWhyCell(&b, &a.Cells[i], a.Now.Time)
	}
	if more := a.CellCount - len(a.Cells); more > 0 {
		fmt.Fprintf(&b, "\nand %s; --limit 0 shows all\n", counted(more, "more cell"))
	}
	fmt.Fprintf(&b, "\ngroups version %d, policy version %d, as of record %d\n", a.GroupsVersion, a.PolicyVersion, a.AsOfSeq)
	_, err := io.WriteString(w, b.String())
	return err
}

func writeWhyCell(b *strings.Builder, c *api.WhyCell, now time.Time) {
	fmt.Fprintf(b, "\n%s %s: %s\n", plain(c.Account), plain(c.Target), c.Status)
	line := func(what, text string) {
		if text != "" {
			fmt.Fprintf(b, "  %-9s %s\n", what, plain(text))
		}
	}
	line("rule", c.Rule)
	if c.Hint != nil {
		line("hint", describeHint(*c.Hint))
	}
	for _, h := range c.Lost {
		line("not used", describeHint(h)+": "+h.Lost)
	}
	if c.Clamp != nil {
		line("clamp", describeClamp(c))
	}
	line("evidence", c.Evidence)
	line("decided", describeBasis(c))
	for _, r := range c.Causes {
		line(fmt.Sprintf("record %d", r.Seq), fmt.Sprintf("%s by %s: %s", r.At.UTC().Format(time.RFC3339), actorOf(r), r.Text))
	}
	for _, e := range c.Ends {
		text := e.How
		if !e.At.IsZero() {
			text += fmt.Sprintf(" (by itself %s, %s)", e.At.UTC().Format(time.RFC3339), relative(e.At.Time, now))
		}
		line("ends by", text)
	}
}

// describeBasis says what a block was decided under, and by which record.
func describeBasis(c *api.WhyCell) string {
	if c.DecidedSeq == 0 {
		return ""
	}
	text := fmt.Sprintf("by record %d, under groups version %d (record %d), policy version %d (record %d)",
		c.DecidedSeq, c.GroupsVersion, c.GroupsSeq, c.PolicyVersion, c.PolicySeq)
	if c.Step > 0 {
		text += fmt.Sprintf(", step %d of the ladder", c.Step)
	}
	return text
}

// describeClamp says what the policy's bound left of a hint.
func describeClamp(c *api.WhyCell) string {
	k := c.Clamp
	length := func(seconds float64) string {
		return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
	}
	return fmt.Sprintf("asked for %s, cut to %s: the policy's bound (%s)", length(k.AskedSeconds), length(k.GivenSeconds), boundOf(c))
}

// boundOf says what a cell's bound is for: a window of a quota or, since what else blocks
// has one bound, the class of the answer that was cut, the last of the causes to be so.
func boundOf(c *api.WhyCell) string {
	if c.Clamp.Bound != "unknown" {
		return "for " + c.Clamp.Bound
	}
	class := ""
	for _, r := range c.Causes {
		if r.Data.Clamp != nil {
			class = r.Data.Class
		}
	}
	if class != "" && class != string(events.ClassQuotaExhausted) {
		return "for " + class
	}
	return "for an unknown window"
}

func describeHint(h api.Hint) string {
	text := fmt.Sprintf("%s %q", h.Source, plain(h.Raw))
	if h.Seconds > 0 {
		text += fmt.Sprintf(", %s", time.Duration(h.Seconds*float64(time.Second)).Round(time.Second))
	}
	return text
}

func actorOf(r api.EventRow) string {
	if r.OnBehalfOf != "" {
		return r.Actor + " for " + r.OnBehalfOf
	}
	return r.Actor
}
