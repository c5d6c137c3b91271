package tests

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const claude = "claude-opus-4-6-thinking"

// spentPool serves two accounts whose quota of Claude models is spent, with a policy.
func spentPool(t *testing.T, policy string) *daemon {
	t.Helper()
	work := t.TempDir()
	config := filepath.Join(work, "abeyance.yaml")
	if err := os.WriteFile(config, []byte("policy: "+policy+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDaemon(t, filepath.Join(work, "data"), "--config", config)
	for _, id := range []string{"a1", "a2"} {
		d.must(200, "PUT", "/v1/accounts/"+id, map[string]any{"provider": "antigravity"})
		d.must(200, "POST", "/v1/reports", limit(id, claude, 429, quota))
	}
	return d
}

// picked asks for an account for Claude until there is one, and returns the answer and
// the last refusal before it, if there was one.
func (d *daemon) picked() (lease, refusal map[string]any) {
	d.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		a, err := d.call(d.t.Context(), "POST", "/v1/pick", pick(claude))
		switch {
		case err != nil:
			d.t.Fatal(err)
		case a.status == http.StatusOK:
			return a.object(d.t), refusal
		case a.status != http.StatusTooManyRequests:
			d.t.Fatalf("the pick was answered %d %s", a.status, a.body)
		}
		refusal = a.object(d.t)
	}
	d.t.Fatalf("nothing could be picked; the last answer was %v", refusal)
	return nil, nil
}

// answered reports what the request of a lease was answered.
func (d *daemon) answered(lease map[string]any, status int, body string) map[string]any {
	d.t.Helper()
	report := limit(fmt.Sprint(lease["account"]), claude, status, body)
	report["lease"] = lease["lease"]
	return d.must(200, "POST", "/v1/reports", report)
}

// wantProbe fails unless the lease is that of a probe.
func wantProbe(t *testing.T, lease map[string]any) {
	t.Helper()
	if lease["probe"] != true || !strings.Contains(fmt.Sprint(lease["lease"]), ".p") {
		t.Fatalf("the pick is %v, want a probe", lease)
	}
}

// A pool all of which cools lets one request through when a probe is due, and no other
// until that is answered. What it finds decides: spent, the next account is tried;
// back, the account serves again days before its deadline, and its siblings are tried
// at once.
func TestRule23QuotaThatIsBackEarlyIsFound(t *testing.T) {
	d := spentPool(t, "{probe: {empty: [2s, 1h], background: [1h, 12h], spacing: 1ms}}")
	first, refusal := d.picked()
	wantProbe(t, first)
	if refusal != nil {
		due, err := time.Parse(time.RFC3339, fmt.Sprint(refusal["next_probe"]))
		if err != nil || time.Now().Before(due) {
			t.Errorf("the probe went out before %v (%v)", refusal["next_probe"], err)
		}
	}
	d.must(429, "POST", "/v1/pick", pick(claude)) // while it is out no other goes
	if got := d.answered(first, 429, quota); got["effect"] != "kept" && got["effect"] != "extended" {
		t.Errorf("the probe that found it spent was answered %v", got)
	}
	second, _ := d.picked()
	wantProbe(t, second)
	if second["account"] == first["account"] {
		t.Errorf("%v is probed again before its sibling was", second["account"])
	}
	if got := d.answered(second, 200, ""); got["effect"] != "recovered" {
		t.Errorf("the probe that was served was answered %v", got)
	}
	third, _ := d.picked()
	for range 1000 { // the spacing is a millisecond
		if third["probe"] == true {
			break
		}
		if third["account"] != second["account"] {
			t.Fatalf("the pick is %v, and only %v is back", third, second["account"])
		}
		third, _ = d.picked()
	}
	if third["account"] != first["account"] {
		t.Errorf("after a recovery the pick is %v, want a probe of its sibling", third)
	}
	d.answered(third, 200, "")
	if accounts := d.picks(claude, 4); strings.Count(accounts, "a1") != 2 || strings.Count(accounts, "a2") != 2 {
		t.Errorf("with both back the picks gave %s", accounts)
	}
}

// By default the first probe is minutes away; a recheck makes the next request one.
func TestRule23RecheckProbesAtOnce(t *testing.T) {
	d := spentPool(t, "{}")
	d.must(429, "POST", "/v1/pick", pick(claude))
	got := d.must(200, "POST", "/v1/recheck", map[string]any{"account": "a2", "target": "claude", "reason": "it was topped up"})
	if cells := fmt.Sprint(got["cells"]); cells != "[map[account:a2 target:claude]]" {
		t.Errorf("rechecked %s", cells)
	}
	lease, refusal := d.picked()
	wantProbe(t, lease)
	if lease["account"] != "a2" || refusal != nil {
		t.Errorf("the first pick after the recheck is %v, after %v", lease, refusal)
	}
	d = d.again() // a claim is not kept, and its report counts all the same
	if got := d.answered(lease, 200, ""); got["effect"] != "recovered" {
		t.Errorf("the probe was answered %v", got)
	}
	why := fmt.Sprint(d.must(200, "GET", "/v1/why?account=a2&target=claude", nil)["sentence"])
	if !strings.Contains(why, "a probe ended the block") {
		t.Errorf("why: %s", why)
	}
}
