package main

import (
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
)

// reportFlags are the flags of report.
type reportFlags struct {
	body     api.ReportRequest
	headers  []string
	bodyFile string
	started  string
}

func newReportCommand(env *environment) *cobra.Command {
	var f reportFlags
	cmd := &cobra.Command{
		Use:   "report --account ACCOUNT --provider PROVIDER --status N",
		Short: "Tell the daemon what an upstream answered",
		Long: `Report one upstream answer, as a proxy does after every request. The body comes from
--body or from a file ('-' is the standard input). It is durable when this returns.`,
		Example: `  abeyance report --account a1 --provider antigravity --model claude-opus-4-6-thinking \
    --status 429 --body-file answer.json --header "Retry-After: 60"`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.body.Account == "" || f.body.Provider == "" || !cmd.Flags().Changed("status") {
				return usage("report needs --account, --provider and --status")
			}
			if err := among("--operation", events.Operation(f.body.Operation), events.Operations()); err != nil {
				return err
			}
			if err := f.complete(env); err != nil {
				return err
			}
			c, err := env.daemon()
			if err != nil {
				return err
			}
			var answer api.ReportAnswer
			if err := c.do(cmd.Context(), call{method: http.MethodPost, path: "/v1/reports", body: f.body}, &answer); err != nil {
				return err
			}
			return env.print(answer, func(w io.Writer) error { return env.reportText(w, answer) })
		},
	}
	f.add(cmd)
	return cmd
}

func (f *reportFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.body.Account, "account", "", "`account` that the request was sent with")
	flags.StringVar(&f.body.Provider, "provider", "", "its `provider`")
	flags.StringVar(&f.body.Model, "model", "", "`model` as the client named it")
	flags.IntVar(&f.body.Status, "status", 0, "HTTP `status`; 0: there was no answer")
	flags.StringArrayVar(&f.headers, "header", nil, "one header of the answer, as `'Name: value'`; may be repeated")
	flags.StringVar(&f.body.Body, "body", "", "the answer's body as `text`")
	flags.StringVar(&f.bodyFile, "body-file", "", "`file` with the answer's body; - is the standard input")
	flags.StringVar(&f.body.Operation, "operation", "", "generate, count_tokens, usage, token or other (default generate)")
	flags.StringVar(&f.started, "started-at", "", "`time` the request was sent, RFC 3339")
	flags.StringVar(&f.body.RequestID, "request-id", "", "the same account and `id` are one observation")
	flags.StringVar(&f.body.Lease, "lease", "", "`lease` as the pick gave it")
}

// complete turns flags into the request's members.
func (f *reportFlags) complete(env *environment) error {
	if f.bodyFile != "" {
		if f.body.Body != "" {
			return usage("give --body or --body-file, not both")
		}
		doc, err := env.read(f.bodyFile)
		if err != nil {
			return err
		}
		f.body.Body = string(doc)
	}
	if f.started != "" {
		at, err := parseInstant("--started-at", f.started)
		if err != nil {
			return err
		}
		f.body.StartedAt.Time = at
	}
	f.body.Headers = api.Headers{}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, ":")
		if name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)); !ok || name == "" {
			return usage("--header %q is not 'Name: value'", h)
		}
		f.body.Headers[name] = append(f.body.Headers[name], strings.TrimSpace(value))
	}
	return nil
}

// reportText words the answer for people.
func (env *environment) reportText(w io.Writer, a api.ReportAnswer) error {
	text := fmt.Sprintf("%s, scope %s: ", a.Class, a.Scope)
	switch {
	case a.Why == events.WhyOlderSuccess:
		text += a.Target + " stays blocked: the request is not known to be newer than the answer that blocked it (" + a.Why + ")"
	case a.Effect == string(events.EffectNone):
		text += "nothing blocked (" + a.Why + ")"
	case a.Until.IsZero():
		text += a.Target + " " + a.Effect
	default:
		text += fmt.Sprintf("%s %s until %s (%s)", a.Target, a.Effect, a.Until.UTC().Format("2006-01-02 15:04:05 UTC"), relative(a.Until.Time, env.now()))
	}
	if a.Hint != nil {
		text += fmt.Sprintf(", by %s %q", a.Hint.Source, plain(a.Hint.Raw))
	}
	text += "; advice " + a.Advice.Action
	if a.Seq != nil {
		text += fmt.Sprintf("; record %d", *a.Seq)
	}
	_, err := fmt.Fprintln(w, text)
	return err
}
