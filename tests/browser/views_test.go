package browser

import (
	"context"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/abeyance/abeyance/tests/incident"
)

// scheme has the browser prefer light or dark colours.
func (b *tab) scheme(name string) {
	b.t.Helper()
	b.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
		})
		return chromedp.Void{}, err
	})
}

func TestViewsOfTheIncident(t *testing.T) {
	dir, _ := incident.Open(t)
	s := openDir(t, dir)
	b := s.enter()
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		for name, path := range map[string]string{
			"grid":     "",
			"cell":     "ui/cell?account=ag-04&target=claude&at=2026-09-14T15:00:00Z",
			"timeline": "ui/timeline?from=2026-09-14T00:00:00Z&to=2026-09-16T00:00:00Z",
			"replay":   "ui/replay?at=2026-09-15T06:02:00Z",
			"audit":    "ui/audit?account=ag-04&seq=1500",
			"status":   "ui/status",
		} {
			b.visit(path)
			b.wait("document.querySelector('main h1')")
			b.shot(name + "-" + scheme)
		}
	}
}

// The keyboard goes through an incident by the minute, too.
func TestReplayByTheMinute(t *testing.T) {
	dir, _ := incident.Open(t)
	s := openDir(t, dir)
	b := s.enter()
	b.visit("ui/replay?at=2026-09-15T06:02:00Z")
	at := "document.getElementById('moment').dataset.now === %s"
	b.wait(at, "2026-09-15T06:02:00Z")
	b.press(kb.PageUp)
	b.wait(at, "2026-09-15T06:01:00Z")
	b.press(kb.PageUp)
	b.wait(at, "2026-09-15T06:00:00Z")
	b.press(kb.PageDown)
	b.wait(at, "2026-09-15T06:01:00Z")
	b.click("#minute-next")
	b.wait(at, "2026-09-15T06:02:00Z")
}
