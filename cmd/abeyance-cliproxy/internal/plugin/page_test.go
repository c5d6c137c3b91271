package plugin

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// browser finds Chromium, or skips the test with the reason.
func browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("ABEYANCE_CI") != "" {
		t.Fatal("no Chromium is installed: apt-get install chromium")
	}
	t.Skip("no Chromium is installed: apt-get install chromium")
	return ""
}

// ServeHTTP is the host's HTTP server as far as the page needs it: resources are open,
// the management API wants its key.
func (b *bench) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if strings.HasPrefix(r.URL.Path, "/v0/management/") && r.Header.Get("Authorization") != "Bearer the-key" {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":"invalid management key"}`)
		return
	}
	var a struct{ Result managementResponse }
	doc := b.send(methodManage, managementRequest{Method: r.Method, Path: r.URL.Path, Headers: r.Header, Query: r.URL.Query(), Body: body})
	if err := json.Unmarshal([]byte(doc), &a); err != nil {
		b.Error(err)
	}
	maps.Copy(w.Header(), a.Result.Headers)
	w.WriteHeader(a.Result.StatusCode)
	_, _ = w.Write(a.Result.Body)
}

// TestPageInABrowser: with a wrong key nothing is shown, with the right one everything,
// as text; and what is done there is done.
func TestPageInABrowser(t *testing.T) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser(t)), chromedp.NoSandbox, chromedp.Flag("disable-dev-shm-usage", true))
	b := registered(t, "")
	b.eventually("the accounts", func() bool {
		b.picks(opus, offered(ana, ben))
		_, body := b.manages(http.MethodGet, "auth-files/quota-groups", "")
		return strings.Contains(body, ana) && strings.Contains(body, ben)
	})
	const hostile = `<img src=x onerror=document.title=1>`
	if status, body := b.manages(http.MethodPatch, "auth-files/quota-groups/manual",
		`{"auth_id":"`+ana+`","group_id":"claude","manual_suspended":true,"reason":"`+hostile+`"}`); status != http.StatusOK {
		t.Fatal(body)
	}
	site := httptest.NewServer(b)
	defer site.Close()
	alloc, stop := chromedp.NewExecAllocator(context.Background(), options...)
	defer stop()
	tab, cancel := chromedp.NewContext(alloc)
	defer cancel()
	ctx, late := context.WithTimeout(tab, 60*time.Second)
	defer late()
	do := func(actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, actions...); err != nil {
			t.Fatal(err)
		}
	}
	text := func() string {
		t.Helper()
		s, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText + "|" + document.title`))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	login := func(key string) {
		t.Helper()
		do(chromedp.SetValue(chromedp.CSS("#key"), key), chromedp.Click(chromedp.CSS("#login button")))
	}
	do(chromedp.Navigate(site.URL + "/v0/resource/plugins/abeyance/quota"))
	login("wrong")
	b.eventually("the key is refused", func() bool { return strings.Contains(text(), "invalid management key") })
	if strings.Contains(text(), ana) {
		t.Error("data is shown without the key")
	}
	login("the-key")
	b.eventually("the data", func() bool { return strings.Contains(text(), ana) && strings.Contains(text(), hostile) })
	if !strings.HasSuffix(text(), "|Abeyance") {
		t.Errorf("the reason was taken for HTML: %s", text())
	}
	do(chromedp.Click(chromedp.CSS("tr.blocked button")))
	b.eventually("the suspension is lifted", func() bool { return b.picks(opus, offered(ana, ben)) == "host" })
	b.eventually("and shown so", func() bool {
		return !strings.Contains(text(), "manual_suspended") && strings.Contains(text(), "lifted")
	})
}
