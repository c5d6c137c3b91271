package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/events/eventstest"
	"github.com/abeyance/abeyance/projection"
)

// stoppedLog makes the data directory of a stopped daemon with n records.
func stoppedLog(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	log, err := boltlog.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	head, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	drafts := make([]events.Draft, n)
	for i := range drafts {
		drafts[i] = eventstest.Drafts()[0]
		drafts[i].Account = fmt.Sprint("a", i%10)
	}
	recs, err := events.Seal(head, testNow, drafts)
	if err == nil {
		err = log.Append(t.Context(), recs)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// left lists what is in a directory.
func left(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// cancelling cancels a context with the first write.
type cancelling struct {
	bytes.Buffer
	cancel func()
}

func (w *cancelling) Write(p []byte) (int, error) {
	w.cancel()
	return w.Buffer.Write(p)
}

// TestExportInterrupted: what was written to stdout lacks its last line, and a file does
// not appear.
func TestExportInterrupted(t *testing.T) {
	dir := stoppedLog(t, 3000)
	run := func(stop bool, args ...string) (int, string) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		out, errs := &cancelling{cancel: cancel}, new(bytes.Buffer)
		if !stop {
			out.cancel = func() {}
		}
		env := &environment{standard: standard{strings.NewReader(""), out, errs}, getenv: func(string) string { return "" }, now: time.Now}
		code := env.run(ctx, append([]string{"export", "--data-dir", dir}, args...))
		if code == exitInterrupted && errs.String() != "abeyance: interrupted\n" {
			t.Errorf("%q", errs.String())
		}
		return code, out.String()
	}
	if code, out := run(false); code != exitOK || !strings.Contains(out, "abeyance_export_end") || strings.Count(out, "\n") != 3002 {
		t.Errorf("the control: exit %d, %d lines", code, strings.Count(out, "\n"))
	}
	if code, out := run(true); code != exitInterrupted || strings.Contains(out, "abeyance_export_end") || out == "" {
		t.Errorf("exit %d, %d lines", code, strings.Count(out, "\n"))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	to := t.TempDir()
	env := &environment{standard: standard{strings.NewReader(""), new(bytes.Buffer), new(bytes.Buffer)}, getenv: func(string) string { return "" }, now: time.Now}
	if code := env.run(ctx, []string{"export", "--data-dir", dir, "-f", filepath.Join(to, "x")}); code != exitInterrupted || left(t, to) != "" {
		t.Errorf("exit %d leaves %q", code, left(t, to))
	}
}

// TestExportOfADamagedLog names the record, and leaves no file.
func TestExportOfADamagedLog(t *testing.T) {
	dir, to := stoppedLog(t, 300), t.TempDir()
	name := filepath.Join(dir, "log.db")
	doc, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(doc, []byte("req-1a2b3c"))
	doc[at] ^= 1
	if err := os.WriteFile(name, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := runWith(t, nil, "", "export", "--data-dir", dir, "-f", filepath.Join(to, "x"))
	if code != exitFailure || !strings.Contains(errs, "is not what was written") || left(t, to) != "" {
		t.Errorf("exit %d, %s, leaves %q", code, errs, left(t, to))
	}
}

// foldOf returns the hash of the state that a directory's log folds to.
func foldOf(t *testing.T, dir string) (events.Head, events.Hash) {
	t.Helper()
	state := projection.NewState()
	log, err := boltlog.Open(dir, &boltlog.Options{ReadOnly: true, Replay: func(r events.Record) error {
		state.Apply(r)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	head, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hash, err := state.Hash()
	if err != nil {
		t.Fatal(err)
	}
	return head, hash
}

// TestExportAndImportAreTheSameLog: head and dump of the log that is made of an export
// are those of the log it came from.
func TestExportAndImportAreTheSameLog(t *testing.T) {
	dir := stoppedLog(t, 2000)
	file, copied := filepath.Join(t.TempDir(), "x.ndjson"), filepath.Join(t.TempDir(), "copy")
	runOK(t, "export", "--data-dir", dir, "-f", file)
	runOK(t, "import", "--data-dir", copied, file)
	head, dump := foldOf(t, dir)
	gotHead, gotDump := foldOf(t, copied)
	if gotHead != head || gotDump != dump {
		t.Errorf("%+v %s, want %+v %s", gotHead, gotDump, head, dump)
	}
}

// TestImportInterrupted leaves no log, and the directory can be used.
func TestImportInterrupted(t *testing.T) {
	dir := stoppedLog(t, 2000)
	to := t.TempDir()
	file, copied := filepath.Join(to, "x.ndjson"), filepath.Join(to, "copy")
	runOK(t, "export", "--data-dir", dir, "-f", file)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	env := &environment{standard: standard{strings.NewReader(""), new(bytes.Buffer), new(bytes.Buffer)}, getenv: func(string) string { return "" }, now: time.Now}
	if code := env.run(ctx, []string{"import", "--data-dir", copied, file}); code != exitInterrupted {
		t.Errorf("exit %d", code)
	}
	runOK(t, "import", "--data-dir", copied, file)
}

// TestExportFromADaemonThatBreaksOff: half an export is no export, even if the
// connection ended as if it were whole.
func TestExportFromADaemonThatBreaksOff(t *testing.T) {
	answer := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := w.Write([]byte(answer)); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	to := t.TempDir()
	token := filepath.Join(to, "token")
	if err := os.WriteFile(token, []byte("t"), 0o600); err != nil {
		t.Fatal(err)
	}
	end := `{"abeyance_export_end":1,"records":0,"seq":0,"hash":"` + strings.Repeat("0", 64) + "\"}\n"
	for _, test := range []struct {
		answer string
		code   int
		left   string
	}{
		{"{}\n{}\n", exitFailure, "token"},
		{"", exitFailure, "token"},
		{"{}\n" + end[:40], exitFailure, "token"},
		{"{}\n" + end, exitOK, "token x"}, // the control
	} {
		answer = test.answer
		args := []string{"export", "--url", server.URL, "--token-file", token}
		if code, out, errs := runWith(t, nil, "", args...); code != test.code || out != answer || code != exitOK && !strings.Contains(errs, "cut off") {
			t.Errorf("%q to stdout: exit %d, %q, %s", answer, code, out, errs)
		}
		if code, _, errs := runWith(t, nil, "", append(args, "-f", filepath.Join(to, "x"))...); code != test.code || left(t, to) != test.left {
			t.Errorf("%q to a file: exit %d leaves %q, %s", answer, code, left(t, to), errs)
		}
	}
}
