package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection"
)

// killed: a daemon on the same pool takes reports and is killed in the middle. What
// it acknowledged is there afterwards, and the past has not changed.
func (d *demo) killed(ctx context.Context) error {
	d.act("kill -9, open again, the same state")
	before, err := d.reopen(ctx, 0)
	if err != nil {
		return err
	}
	d.say("state at record %d: %.16s…", before.seq, before.hash)
	acked, err := d.killDaemon(ctx)
	if err != nil {
		return err
	}
	d.say("a daemon on the same directory took reports from 8 clients and was killed: %d were acknowledged", len(acked))
	after, err := d.reopen(ctx, before.seq)
	if err != nil {
		return err
	}
	d.say("state at record %d: %.16s…, and the log goes on to record %d", before.seq, after.hash, after.seq)
	lost := 0
	for _, seq := range acked {
		if !after.limits[seq] {
			lost++
		}
	}
	d.say("verify ok: %d records, every hash continues the one before; %d acknowledged reports lost", after.seq, lost)
	d.yours("kill -9 the daemon, then: abeyance verify && abeyance status")
	return d.check(lost == 0 && len(acked) > 0 && before.hash == after.hash, "nothing acknowledged is lost, and the state is the same")
}

// found is what a directory holds.
type found struct {
	seq    events.Seq
	hash   string
	limits map[events.Seq]bool // limit_observed records
}

// reopen reads the pool's directory, checking the chain, and folds it up to a seq; 0
// is all of it.
func (d *demo) reopen(ctx context.Context, upTo events.Seq) (found, error) {
	f := found{limits: map[events.Seq]bool{}}
	s := projection.NewState()
	log, err := boltlog.Open(PoolDir(d.dir), &boltlog.Options{Replay: func(r events.Record) error {
		f.seq = r.Seq
		if r.Kind() == events.KindLimitObserved {
			f.limits[r.Seq] = true
		}
		if upTo == 0 || r.Seq <= upTo {
			s.Apply(r)
		}
		return nil
	}})
	if err != nil {
		return f, err
	}
	defer log.Close()
	if _, err := log.Verify(ctx, nil); err != nil {
		return f, err
	}
	hash, err := s.Hash()
	f.hash = hash.String()
	return f, err
}

// killDaemon serves the pool from a process of its own, reports to it, and kills it.
// It returns the seqs that were acknowledged.
func (d *demo) killDaemon(ctx context.Context) ([]events.Seq, error) {
	c := exec.CommandContext(ctx, d.program, "serve", "--data-dir", PoolDir(d.dir), "--listen", "127.0.0.1:0")
	var out bytes.Buffer
	c.Stdout, c.Stderr, c.Env = &out, &out, d.environ
	if err := c.Start(); err != nil {
		return nil, err
	}
	to, err := awaitDaemon(ctx, PoolDir(d.dir), c.Process.Pid)
	if err != nil {
		c.Process.Kill()
		c.Wait()
		return nil, fmt.Errorf("%w; the daemon said:\n%s", err, out.String())
	}
	var mu sync.Mutex
	var acked []events.Seq
	enough := make(chan struct{})
	var wg sync.WaitGroup
	for client := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				seq, err := to.report(ctx, fmt.Sprintf("ag-%d", i%3+1), fmt.Sprintf("kill-%d-%d", client, i))
				if err != nil {
					return // the daemon is gone
				}
				mu.Lock()
				if acked = append(acked, seq); len(acked) == 200 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-enough:
	case <-time.After(10 * time.Second):
	case <-ctx.Done():
	}
	err = c.Process.Kill()
	c.Wait() // its error is the kill
	wg.Wait()
	return acked, err
}

// daemon is where a daemon is reached, and the token to show it.
type daemon struct{ url, token string }

// awaitDaemon waits until the daemon with the pid serves a directory.
func awaitDaemon(ctx context.Context, dir string, pid int) (daemon, error) {
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		var info struct {
			URL string `json:"url"`
			PID int    `json:"pid"`
		}
		doc, err := os.ReadFile(filepath.Join(dir, "daemon.json"))
		if err == nil && json.Unmarshal(doc, &info) == nil && info.PID == pid {
			token, err := os.ReadFile(filepath.Join(dir, "token"))
			if err != nil {
				return daemon{}, err
			}
			resp, err := http.Get(info.URL + "/readyz")
			if err == nil {
				resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					return daemon{info.URL, strings.TrimSpace(string(token))}, nil
				}
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return daemon{}, errors.New("the daemon did not begin to serve")
}

// report sends a 429 of an account and returns the seq that the daemon acknowledged.
func (d daemon) report(ctx context.Context, account, id string) (events.Seq, error) {
	body, err := json.Marshal(map[string]any{
		"account": account, "provider": provider, "model": "gemini-3-flash", "status": http.StatusTooManyRequests, "request_id": id,
		"headers": map[string]string{"Content-Type": "application/json"},
		"body":    quotaBody("gemini-3-flash", time.Hour, time.Now().Add(time.Hour)),
	})
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url+"/v1/reports", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+d.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var answer struct{ Seq events.Seq }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("report answered %s", resp.Status)
	}
	return answer.Seq, nil
}
