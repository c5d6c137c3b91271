package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// patience is how long a step may take on a machine that is busy with other tests.
const patience = time.Minute

// chromium finds the browser, or skips the test with the reason.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	why := "no Chromium is installed: apt-get install chromium"
	if os.Getenv("ABEYANCE_CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
	return ""
}

// browse starts a browser that ends with the test.
func browse(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium(t)), chromedp.NoSandbox,
		chromedp.WindowSize(1280, 900), chromedp.Flag("disable-dev-shm-usage", true))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	return ctx
}

// tab is one tab, whose console and requests are watched: any error, and any request that
// leaves the site, fails the test.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string // the site, with a slash at its end

	mu       sync.Mutex
	console  []string
	outside  []string
	pardoned []string // parts of console messages that are meant to be
}

// watched answers whether requests to a URL stay on the site.
func (b *tab) watched(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (strings.HasPrefix(address, b.base) || u.Scheme == "data" || u.Scheme == "blob" || u.Scheme == "about")
}

// newTab opens a tab of a browser, or of the browser of another tab.
func newTab(t *testing.T, browser context.Context, base string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx, base: strings.TrimSuffix(base, "/") + "/"}
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			if m.Type == "error" || m.Type == "warning" || m.IsException() {
				b.note(&b.console, m.String())
			}
		}
	}()
	requests := chromedp.Events(ctx, network.RequestWillBeSent)
	go func() {
		for e, err := range requests {
			if err != nil {
				return
			}
			if !b.watched(e.Request.URL) {
				b.note(&b.outside, e.Request.URL)
			}
		}
	}()
	t.Cleanup(b.check)
	return b
}

func (b *tab) note(list *[]string, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*list = append(*list, text)
}

// pardon lets console messages with such parts be: the test provokes them.
func (b *tab) pardon(parts ...string) {
	for _, part := range parts {
		b.note(&b.pardoned, part)
	}
}

// away are parts of what a console says while the daemon is away.
func away() []string {
	return []string{"ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "503"}
}

// check fails for what the console said and for requests that left.
func (b *tab) check() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.console {
		meant := false
		for _, part := range b.pardoned {
			meant = meant || strings.Contains(text, part)
		}
		if !meant {
			b.t.Errorf("the console: %s", text)
		}
	}
	for _, address := range b.outside {
		b.t.Errorf("a request left the site: %s", address)
	}
}

// do runs actions within a time.
func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// visit goes to a page below the site.
func (b *tab) visit(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.base + path))
}

// eval evaluates JavaScript.
func eval[T any](b *tab, script string, args ...any) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](fill(script, args...), chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", script, err)
	}
	return value
}

// fill puts values into a script, as JSON.
func fill(script string, args ...any) string {
	if len(args) == 0 {
		return script
	}
	texts := make([]any, len(args))
	for i, a := range args {
		doc, err := json.Marshal(a)
		if err != nil {
			panic(err) // unreachable: tests give strings and numbers
		}
		texts[i] = string(doc)
	}
	return fmt.Sprintf(script, texts...)
}

// wait waits until a script is true; it survives navigations.
func (b *tab) wait(script string, args ...any) {
	b.t.Helper()
	script = fill(script, args...)
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+script+")"))
		cancel()
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("location.href + '\\n' + document.body.innerText"))
			b.t.Fatalf("never true: %s (%v)\n%s", script, err, text)
		}
	}
}

// click clicks what a CSS selector finds first.
func (b *tab) click(selector string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	for {
		err := chromedp.Do(ctx, chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
		if err == nil {
			return
		}
		// What was found may be replaced before it is clicked.
		if !strings.Contains(err.Error(), "Could not find node") || ctx.Err() != nil {
			b.t.Fatalf("clicking %s: %v", selector, err)
		}
	}
}

// write types into a field, in the place of what is there.
func (b *tab) write(selector, text string) {
	b.t.Helper()
	b.do(chromedp.Clear(chromedp.CSS(selector)), chromedp.SendKeys(chromedp.CSS(selector), text))
}

// press sends keys to what has the focus.
func (b *tab) press(keys string, options ...chromedp.KeyOption) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(keys, options...))
}

// login logs in with a token and a name, and waits for the grid.
func (b *tab) login(token, person string) {
	b.t.Helper()
	b.visit("ui/login")
	b.write("#token", token)
	b.write("#person", person)
	b.click("form.login button")
	b.wait("document.getElementById('grid')")
}

// enter opens a browser, and logs in as Mia.
func (s *site) enter() *tab {
	s.t.Helper()
	b := newTab(s.t, browse(s.t), s.url)
	b.login(s.token, "Mia")
	return b
}

// follow enters, and returns when a page below the site follows the history.
func (s *site) follow(path string) *tab {
	s.t.Helper()
	b := s.enter()
	if path != "" { // the grid is what one enters by
		b.visit(path)
	}
	b.live()
	return b
}

// live waits until the page follows the history.
func (b *tab) live() {
	b.t.Helper()
	b.wait("document.getElementById('live')?.dataset.state === 'live'")
}

// shots is where screenshots go.
var shots = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv("ABEYANCE_SHOTS"); dir != "" {
		return dir, os.MkdirAll(dir, 0o755)
	}
	return os.MkdirTemp("", "abeyance-shots-")
})

// shot keeps a picture of the page.
func (b *tab) shot(name string) {
	b.t.Helper()
	dir, err := shots()
	if err != nil {
		b.t.Fatal(err)
	}
	picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	path := filepath.Join(dir, name+".png")
	if err := os.WriteFile(path, picture, 0o644); err != nil {
		b.t.Fatal(err)
	}
	b.t.Logf("screenshot: %s", path)
}
