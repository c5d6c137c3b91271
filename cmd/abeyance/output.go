package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// The output formats.
const (
	outputTable = "table"
	outputJSON  = "json"  // the daemon's answer, indented
	outputJSONL = "jsonl" // one item of a list per line; an answer that is no list on one line
	outputYAML  = "yaml"  // the same fields as json
)

func outputs() []string { return []string{outputTable, outputJSON, outputJSONL, outputYAML} }

// column is one column of a table.
type column[T any] struct {
	title string
	cell  func(T) string
}

// listing is an answer that holds items: how it is printed in every format.
type listing[T any] struct {
	answer  any // printed as json and yaml
	items   []T
	columns []column[T]
	empty   string         // said instead of a table without rows
	status  func(T) string // what colours a row; nil: nothing does
}

// print writes the listing in the format asked for.
func (l listing[T]) print(env *environment) error {
	switch env.output {
	case outputTable:
		return l.table(env)
	case outputJSONL:
		for _, item := range l.items {
			if err := writeLine(env.out, item); err != nil {
				return err
			}
		}
		return nil
	default:
		return env.document(l.answer)
	}
}

func (l listing[T]) table(env *environment) error {
	if len(l.items) == 0 {
		env.say("%s", l.empty)
		return nil
	}
	// Text would be enough for lipgloss's tables too, but that brings a dozen modules.
	// Escape sequences count as text for tabwriter: paint gives every row as many.
	w := tabwriter.NewWriter(env.out, 0, 0, 2, ' ', 0)
	paint := painter(env.colours() && l.status != nil)
	var titles []string
	for _, c := range l.columns {
		titles = append(titles, c.title)
	}
	fmt.Fprintln(w, paint("title", strings.Join(titles, "\t")))
	for _, item := range l.items {
		var cells []string
		for _, c := range l.columns {
			cells = append(cells, plain(c.cell(item)))
		}
		status := ""
		if l.status != nil {
			status = l.status(item)
		}
		fmt.Fprintln(w, paint(status, strings.Join(cells, "\t")))
	}
	return w.Flush()
}

// feed prints the rows of a table one by one, as they come. A column grows with what it
// has to hold; what was printed before stays as it is.
type feed[T any] struct {
	columns []column[T]
	widths  []int // of the columns but the last
	titled  bool
}

// print writes a row in the format asked for, under the titles if it is the first.
func (f *feed[T]) print(env *environment, item T) error {
	if env.output != outputTable {
		if env.output == outputYAML {
			fmt.Fprintln(env.out, "---")
		}
		return env.print(item, nil)
	}
	var titles, cells []string
	for _, c := range f.columns {
		titles, cells = append(titles, c.title), append(cells, plain(c.cell(item)))
	}
	text := f.line(cells)
	if !f.titled {
		f.titled = true
		text = f.line(titles) + text
	}
	_, err := io.WriteString(env.out, text)
	return err
}

func (f *feed[T]) line(cells []string) string {
	var b strings.Builder
	for i, cell := range cells {
		if i < len(f.widths) {
			f.widths[i] = max(f.widths[i], utf8.RuneCountInString(cell))
			cell = fmt.Sprintf("%-*s  ", f.widths[i], cell)
		}
		b.WriteString(cell)
	}
	return b.String() + "\n"
}

// painter returns a function that colours a line by a status. All sequences are of
// one length.
func painter(on bool) func(status, line string) string {
	if !on {
		return func(_, line string) string { return line }
	}
	return func(status, line string) string {
		code := "39" // the terminal's own
		switch status {
		case "title":
			code = "01"
		case "held", "frozen":
			code = "31"
		case "cooling", "suspended":
			code = "33"
		case "disabled":
			code = "90"
		}
		return "\x1b[" + code + "m" + line + "\x1b[0m"
	}
}

// plain keeps text from other systems from steering the terminal or the table.
func plain(s string) string {
	if s == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, s)
}

// counted says how many there are of what has a plural in s.
func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// print writes an answer that is no list: text for a table, else v itself.
func (env *environment) print(v any, text func(io.Writer) error) error {
	switch env.output {
	case outputTable:
		return text(env.out)
	case outputJSONL:
		return writeLine(env.out, v)
	default:
		return env.document(v)
	}
}

// document writes v as indented JSON or as YAML.
func (env *environment) document(v any) error {
	doc, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if env.output == outputYAML {
		if doc, err = toYAML(doc); err != nil {
			return err
		}
	} else {
		doc = append(doc, '\n')
	}
	_, err = env.out.Write(doc)
	return err
}

func writeLine(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// toYAML turns a JSON document into the same document as YAML. JSON is YAML in flow
// style: taking the style away keeps the names and the order of the fields. Values
// keep their quotes, so that no reader takes a "no" or a date for something else.
func toYAML(doc []byte) ([]byte, error) {
	var n yaml.Node
	if err := yaml.Load(doc, &n); err != nil {
		return nil, err
	}
	unflow(&n)
	return yaml.Dump(&n, yaml.WithV4Defaults())
}

func unflow(n *yaml.Node) {
	if len(n.Content) > 0 {
		n.Style &^= yaml.FlowStyle
	}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			c.Style = 0 // a key
		}
		unflow(c)
	}
}
