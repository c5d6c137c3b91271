package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/tests/incident"
)

// The document, and the fences that open its parts: a session at an instant, and a file
// that the sessions use.
const incidentDoc = "../../docs/incident.md"

var (
	fenceSession = regexp.MustCompile("^```console (.+)$")
	fenceFile    = regexp.MustCompile("^```yaml (.+)$")
)

// TestIncidentDocument types the commands of docs/incident.md: each block against a daemon
// that serves the recorded incident as it was at the block's instant, at which its clock
// and that of the commands stand.
func TestIncidentDocument(t *testing.T) {
	doc, err := os.ReadFile(incidentDoc)
	if err != nil {
		t.Fatal(err)
	}
	w := walkthrough{T: t, files: t.TempDir()}
	for line := range strings.Lines(string(doc)) {
		w.line(strings.TrimSuffix(line, "\n"))
	}
	if w.commands < 20 {
		t.Errorf("the document has %d commands; five stories have more", w.commands)
	}
	if *update {
		if err := os.WriteFile(incidentDoc, []byte(w.out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(doc), w.out.String()); diff != "" {
		t.Errorf("%s differs from what is printed (-document +printed; run go test -update and read the change)\n%s", incidentDoc, diff)
	}
}

// walkthrough reads a document line by line, and writes it with what its commands print.
type walkthrough struct {
	*testing.T
	files    string // where the files of the document are
	out      strings.Builder
	file     *os.File // being written; nil: none
	session  *session // nil: outside of one
	commands int
}

func (w *walkthrough) line(line string) {
	w.Helper()
	fence := strings.HasPrefix(line, "```")
	switch {
	case fence && w.session != nil:
		w.session.end()
		w.session = nil
	case fence && w.file != nil:
		if err := w.file.Close(); err != nil {
			w.Fatal(err)
		}
		w.file = nil
	case w.session != nil:
		command, ok := strings.CutPrefix(line, "$ ")
		if !ok {
			return // what was printed the last time
		}
		fmt.Fprintf(&w.out, "%s\n%s", line, w.session.run(command))
		w.commands++
		return
	case w.file != nil:
		fmt.Fprintln(w.file, line)
	case fenceSession.MatchString(line):
		w.session = startSession(w.T, w.files, fenceSession.FindStringSubmatch(line)[1])
	case fenceFile.MatchString(line):
		f, err := os.Create(filepath.Join(w.files, fenceFile.FindStringSubmatch(line)[1]))
		if err != nil {
			w.Fatal(err)
		}
		w.file = f
	}
	fmt.Fprintln(&w.out, line)
}

// session is a daemon on the incident as it was at an instant, and the commands that are
// typed then.
type session struct {
	*testing.T
	now    time.Time
	dir    string
	files  string
	daemon *daemon
}

func startSession(t *testing.T, files, instant string) *session {
	t.Helper()
	now, err := time.Parse(time.RFC3339, instant)
	if err != nil {
		t.Fatal(err)
	}
	s := &session{T: t, now: now, files: files}
	s.dir, _ = incident.OpenUntil(t, now)
	s.daemon = newDaemon(s.environment(new(strings.Builder)), &settings{Listen: "127.0.0.1:0", DataDir: s.dir, LogFormat: logText, file: &parsedConfig{}})
	if err := s.daemon.listen(); err != nil {
		t.Fatal(err)
	}
	if err := s.daemon.start(t.Context()); err != nil {
		t.Fatal(errors.Join(err, s.daemon.close()))
	}
	if s.daemon.engine.State().Due(now) {
		t.Errorf("at %s a cooldown is over that is not recorded: choose an instant a second off", instant)
	}
	return s
}

func (s *session) end() {
	if err := s.daemon.close(); err != nil {
		s.Error(err)
	}
}

func (s *session) environment(out *strings.Builder) *environment {
	vars := map[string]string{"USER": "wei", envDataDir: s.dir}
	return &environment{
		standard: standard{strings.NewReader(""), out, out}, getenv: func(name string) string { return vars[name] },
		now: func() time.Time { return s.now },
	}
}

// run types a command and returns what is printed: of "abeyance ... | head -3" the
// beginning. Trailing spaces are not kept: editors do not either.
func (s *session) run(line string) string {
	s.Helper()
	line, head, cut := strings.Cut(line, " | head -")
	words := words(line)
	if words[0] != "abeyance" {
		s.Fatalf("%q is no command of abeyance", line)
	}
	for i, word := range words {
		if strings.HasSuffix(word, ".yaml") {
			words[i] = filepath.Join(s.files, word)
		}
	}
	var out strings.Builder
	env := s.environment(&out)
	if code := env.run(context.WithoutCancel(s.Context()), words[1:]); code != exitOK {
		s.Errorf("$ %s\nexit %d", line, code)
	}
	lines := strings.SplitAfter(out.String(), "\n")
	if cut {
		n, err := strconv.Atoi(head)
		if err != nil {
			s.Fatal(err)
		}
		lines = lines[:min(n, len(lines))]
	}
	for i, text := range lines {
		if strings.HasSuffix(text, "\n") {
			lines[i] = strings.TrimRight(text, " \n") + "\n"
		}
	}
	return strings.Join(lines, "")
}

// words splits a command line at spaces, but for those in single quotes.
func words(line string) (list []string) {
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			list = append(list, part)
		} else {
			list = append(list, strings.Fields(part)...)
		}
	}
	return list
}
