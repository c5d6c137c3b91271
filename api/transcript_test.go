package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/api"
)

var update = flag.Bool("update", false, "write what was answered into testdata")

// TestTranscripts plays the requests in testdata/*.txt and compares the answers.
// A transcript is a list of blocks: a comment after #, a request after >, with its
// body on a second line, or line by line after > | if it is no JSON, the answer after <,
// time that passes after +, and who asks, and how, after = (see [request.set]). What differs
// from run to run stands as CORRELATION, HASH and PSEUDONYM, a record's bytes as RECORD, and
// of tokens TIME and SECRET.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := newBench(t).play(string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("the answers changed (-want +got):\n%s", diff)
			}
		})
	}
}

// play makes the requests of a transcript and returns it with the answers.
func (b *bench) play(script string) string {
	b.t.Helper()
	var out strings.Builder
	var q, next request
	lines := strings.Split(strings.TrimSuffix(script, "\n"), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "< ") {
			continue // written anew
		}
		fmt.Fprintln(&out, line)
		if later, ok := strings.CutPrefix(line, "+ "); ok {
			d, err := time.ParseDuration(later)
			if err != nil {
				b.t.Fatal(err)
			}
			b.clock.advance(d)
		}
		if setting, ok := strings.CutPrefix(line, "= "); ok {
			next.set(b, setting)
		}
		text, asked := strings.CutPrefix(line, "> ")
		if !asked {
			continue
		}
		raw, isRaw := strings.CutPrefix(text, "|")
		switch {
		case isRaw:
			q.body += strings.TrimPrefix(raw, " ") + "\n"
		case strings.HasPrefix(text, "{"):
			q.body = text
		default:
			q, next = next, request{}
			q.method, q.path, _ = strings.Cut(text, " ")
		}
		if i+1 == len(lines) || !strings.HasPrefix(lines[i+1], "> {") && !strings.HasPrefix(lines[i+1], "> |") {
			out.WriteString(shown(b.do(q)))
		}
	}
	return out.String()
}

// set makes the next request of a transcript another than usual: "as NAME" is who asks,
// "as -" nobody, "Header: value" a header, where TOKEN(NAME) stands for a token, and
// "spaces N" a body of so many.
func (q *request) set(b *bench, setting string) {
	b.t.Helper()
	if name, ok := strings.CutPrefix(setting, "as "); ok {
		q.as = name
		return
	}
	if count, ok := strings.CutPrefix(setting, "spaces "); ok {
		n, err := strconv.Atoi(count)
		if err != nil {
			b.t.Fatal(err)
		}
		q.body = strings.Repeat(" ", n)
		return
	}
	name, value, ok := strings.Cut(setting, ": ")
	if !ok {
		b.t.Fatalf("the setting %q is none", setting)
	}
	for of, token := range b.token {
		value = strings.ReplaceAll(value, "TOKEN("+of+")", token)
	}
	if q.header == nil {
		q.header = map[string]string{}
	}
	q.header[name] = value
}

// shown is an answer as a transcript has it.
func shown(a answer) string {
	var out strings.Builder
	fmt.Fprintf(&out, "< %d\n", a.status)
	for _, name := range []string{"Retry-After", "Allow", "WWW-Authenticate"} {
		if v := a.header.Get(name); v != "" {
			fmt.Fprintf(&out, "< %s: %s\n", name, v)
		}
	}
	if v := a.header.Get("Set-Cookie"); v != "" {
		for pattern, name := range map[string]string{`_[0-9a-f]{8}=`: "_ID=", `=[A-Za-z0-9_-]{43};`: "=SECRET;", `Expires=[^;]+`: "Expires=TIME"} {
			v = regexp.MustCompile(pattern).ReplaceAllString(v, name)
		}
		fmt.Fprintf(&out, "< Set-Cookie: %s\n", v)
	}
	var doc bytes.Buffer
	if a.header.Get("Content-Type") == api.MediaExport {
		doc.WriteString(strings.TrimSpace(a.body))
	} else if err := json.Indent(&doc, []byte(strings.TrimSpace(a.body)), "", "  "); err != nil {
		a.t.Fatal(err)
	}
	text := doc.String()
	for pattern, name := range map[string]string{
		`"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"`: `"CORRELATION"`, `"[0-9a-f]{64}"`: `"HASH"`,
		`acct_[0-9a-f]{20}`: `acct_PSEUDONYM`, `"record":"[A-Za-z0-9+/=]+"`: `"record":"RECORD"`,
		`"created_at": "[^"]+"`: `"created_at": "TIME"`, `"expires_at": "[^"]+"`: `"expires_at": "TIME"`, `(aby_[a-z-]+_)[a-z2-7]{8}_[A-Za-z0-9_-]{43}`: "${1}ID_SECRET",
		`("name": *"[^"]*",\s*"id": *")[a-z2-7]{8}"`: `${1}ID"`,
	} {
		text = regexp.MustCompile(pattern).ReplaceAllString(text, name)
	}
	for line := range strings.Lines(text + "\n") {
		out.WriteString("< " + line)
	}
	return out.String()
}
