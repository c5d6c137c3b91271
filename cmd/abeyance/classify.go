package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/router/signal"
)

// maxClassifyLine bounds one line of classify. A body beyond signal.MaxBody is cut
// anyway.
const maxClassifyLine = 16 << 20

func newClassifyCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "classify < OBSERVATIONS",
		Short: "Say what upstream answers mean, from JSON lines, without a daemon",
		Long: `Read upstream answers as JSON lines and print what each means, one line per line, in
order. Nothing is recorded and no daemon is asked; with a daemon running, POST
/v1/classify also says what the policy would do.

  {"id": "a", "provider": "codex", "status": 429, "headers": {}, "body": "...",
   "observed_at": "2026-11-23T00:00:00Z", "model": "gpt-5", "operation": "generate"}

Only provider and status are needed; other members are passed over. The answer is

  {"id", "class", "scope", "retry_after_seconds", "reset_at"}

with null where the upstream says nothing. Delays and instants are turned into each
other only with observed_at. A line that cannot be read gives {"id", "error"} in its
place, a message on stderr, and exit code 1 at the end.`,
		Example: `  echo '{"provider": "codex", "status": 429, "headers": {"Retry-After": "60"}}' | abeyance classify`,
		Args:    arguments(0, 0, ""),
		RunE:    func(*cobra.Command, []string) error { return env.classify() },
	}
}

// classification is a line of output.
type classification struct {
	ID                json.RawMessage `json:"id"`
	Class             events.Class    `json:"class"`
	Scope             events.Scope    `json:"scope"`
	RetryAfterSeconds *float64        `json:"retry_after_seconds"`
	ResetAt           api.Time        `json:"reset_at"`
}

// misread stands in the place of a line that cannot be read.
type misread struct {
	ID    json.RawMessage `json:"id"`
	Error string          `json:"error"`
}

// observationLine is a line of input.
type observationLine struct {
	ID         json.RawMessage  `json:"id"`
	Provider   string           `json:"provider"`
	Model      string           `json:"model"`
	Status     *int             `json:"status"`
	Headers    api.Headers      `json:"headers"`
	Body       string           `json:"body"`
	ObservedAt api.Time         `json:"observed_at"`
	Operation  events.Operation `json:"operation"`
}

func (env *environment) classify() error {
	in := bufio.NewReaderSize(env.in, 64<<10)
	out := bufio.NewWriter(env.out)
	bad := 0
	for number := 1; ; number++ {
		line, err := readLine(in)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errLongLine) {
			return errors.Join(err, out.Flush())
		}
		last := errors.Is(err, io.EOF)
		if errors.Is(err, errLongLine) || len(bytes.TrimSpace(line)) > 0 {
			answer, failed := classifyLine(line, err)
			if failed != nil {
				bad++
				fmt.Fprintf(env.err, "line %d: %v\n", number, failed)
			}
			if err := writeLine(out, answer); err != nil {
				return err
			}
		}
		// Whoever feeds lines one by one reads the answers one by one.
		if last || in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
		}
		if last {
			break
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of the lines could not be read", bad)
	}
	return nil
}

// errLongLine says that a line is over maxClassifyLine. It was passed over.
var errLongLine = fmt.Errorf("the line has more than %d bytes", maxClassifyLine)

// readLine returns the next line; with io.EOF the last one, which may be empty.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := r.ReadSlice('\n')
		if long = long || len(line)+len(part) > maxClassifyLine; !long {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case long && (err == nil || errors.Is(err, io.EOF)):
			return nil, errLongLine
		default:
			return line, err
		}
	}
}

// classifyLine answers one line, and says what was wrong with it.
func classifyLine(line []byte, failed error) (any, error) {
	var o observationLine
	if !errors.Is(failed, errLongLine) {
		failed = plainJSON(json.Unmarshal(line, &o))
	}
	if failed == nil {
		failed = o.check()
	}
	if failed != nil {
		return misread{ID: idOf(line), Error: failed.Error()}, failed
	}
	s := signal.Classify(o.observation())
	answer := classification{ID: o.ID, Class: s.Class, Scope: s.Scope}
	if seconds, ok := signal.RetryAfter(s); ok {
		answer.RetryAfterSeconds = &seconds
	}
	if at, ok := signal.ResetAt(s, o.ObservedAt.Time); ok {
		answer.ResetAt = api.Time{Time: at}
	}
	return answer, nil
}

// plainJSON words an error of the decoder for people who never saw our types.
func plainJSON(err error) error {
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("the line is not JSON: %v, at byte %d", e, e.Offset)
	}
	e, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return err
	}
	what := cmp.Or(e.Field, "the line")
	switch e.Type.Kind() {
	case reflect.Int:
		return fmt.Errorf("%s must be a whole number, and is %s", what, jsonKind(e.Value))
	case reflect.String:
		return fmt.Errorf("%s must be a string, and is %s", what, jsonKind(e.Value))
	default:
		return fmt.Errorf("%s must be an object, and is %s", what, jsonKind(e.Value))
	}
}

// jsonKind puts an article before the decoder's name of a value: "array",
// "number 4.5".
func jsonKind(value string) string {
	switch kind, _, _ := strings.Cut(value, " "); kind {
	case "array", "object":
		return "an " + value
	case "bool":
		return "true or false"
	default:
		return "a " + value
	}
}

func (o *observationLine) check() error {
	switch {
	case o.Provider == "":
		return errors.New("provider is missing")
	case o.Status == nil:
		return errors.New("status is missing; 0 stands for no answer at all")
	case *o.Status < 0 || *o.Status > 999:
		return fmt.Errorf("status %d is no HTTP status", *o.Status)
	case o.Operation != "" && !slices.Contains(events.Operations(), o.Operation):
		return fmt.Errorf("operation %q is none of %v", o.Operation, events.Operations())
	}
	return nil
}

func (o *observationLine) observation() signal.Observation {
	h := http.Header{}
	for name, values := range o.Headers {
		h[name] = values
	}
	return signal.Observation{
		Provider: o.Provider, Model: o.Model, Operation: o.Operation, Status: *o.Status, Header: h, Body: []byte(o.Body),
		ObservedAt: o.ObservedAt.Time,
	}
}

// idOf finds the id in a line whose other members may be wrong; nil, which is
// written as null, if there is none.
func idOf(line []byte) json.RawMessage {
	var named struct {
		ID json.RawMessage `json:"id"`
	}
	if json.Unmarshal(line, &named) != nil {
		return nil
	}
	return named.ID
}
