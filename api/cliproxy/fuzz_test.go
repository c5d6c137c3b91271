package cliproxy_test

import (
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/abeyance/abeyance/api/cliproxy"
	"github.com/abeyance/abeyance/events"
)

func noon() time.Time { return time.Date(2026, 11, 23, 9, 1, 0, 0, time.UTC) }

// FuzzConfig and FuzzCooldowns: whatever a file says is read or refused by an *Error, and
// what is kept of it is fit for the log.

func FuzzConfig(f *testing.F) { fuzz(f, ".yaml") }

func FuzzCooldowns(f *testing.F) { fuzz(f, ".cds") }

func fuzz(f *testing.F, ext string) {
	for _, name := range files(f) {
		if len(name) < len(ext) || name[len(name)-len(ext):] != ext {
			continue
		}
		doc, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		file, err := cliproxy.Parse(doc)
		if err != nil {
			if _, ok := errors.AsType[*cliproxy.Error](err); !ok {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		for _, e := range file.Entries {
			if len(e.Original) > 4<<10 || !json.Valid([]byte(e.Original)) || events.Scrub(e.Original, len(e.Original)) != e.Original {
				t.Fatalf("%s keeps %q", e.Place, e.Original)
			}
			if e.Class == events.ClassOK || e.Class == "" {
				t.Fatalf("%s has the class %q", e.Place, e.Class)
			}
		}
	})
}
