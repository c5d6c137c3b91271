package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
)

// fakeCopy is a copy that may break off.
type fakeCopy struct {
	text   string
	short  int // bytes that it fails to give
	closed int
}

func (c *fakeCopy) Head() events.Head { return events.Head{Seq: 7, Hash: events.Hash{1}} }
func (c *fakeCopy) Size() int64       { return int64(len(c.text)) }
func (c *fakeCopy) Close() error      { c.closed++; return nil }

func (c *fakeCopy) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, c.text[:len(c.text)-c.short])
	if c.short > 0 {
		err = errors.New("the disk is gone")
	}
	return int64(n), err
}

func TestBackup(t *testing.T) {
	b := newBench(t)
	backend := b.backend()
	b.get("/v1/backup").problem(http.StatusNotImplemented, "not_available")
	c, failure := &fakeCopy{text: strings.Repeat("abeyance", 9999)}, error(nil)
	backend.Copy = func(context.Context) (api.Copy, error) {
		if failure != nil {
			return nil, failure
		}
		return c, nil
	}
	b.server.Ready(backend)
	a := b.get("/v1/backup").want(http.StatusOK)
	if a.body != c.text || c.closed != 1 {
		t.Errorf("%d bytes, closed %d times", len(a.body), c.closed)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/octet-stream", "Content-Length": fmt.Sprint(len(c.text)),
		api.HeaderHead: fmt.Sprintf("7:%s", c.Head().Hash),
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	b.get("/v1/backup?all=1").problem(http.StatusBadRequest, "unknown_parameter")
	failure = fmt.Errorf("copying the log: %w", events.ErrFull)
	b.get("/v1/backup").problem(http.StatusServiceUnavailable, "disk_full")
}

// TestBackupBreaksOff: a client never takes half a backup for a whole one.
func TestBackupBreaksOff(t *testing.T) {
	b := newBench(t)
	backend := b.backend()
	c := &fakeCopy{text: strings.Repeat("abeyance", 9999), short: 5}
	backend.Copy = func(context.Context) (api.Copy, error) { return c, nil }
	b.server.Ready(backend)
	server := httptest.NewServer(b.server.Handler())
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/backup", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.token["admin"])
	res, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got bytes.Buffer
	_, err = got.ReadFrom(res.Body)
	server.Close() // the handler has ended
	if err == nil || c.closed != 1 {
		t.Errorf("%d of %d bytes without an error; closed %d times", got.Len(), len(c.text), c.closed)
	}
}

// damage is what package boltlog says of a file beside the log.
type damage struct{}

func (damage) Error() string   { return "index: is not what was written" }
func (damage) Damaged() string { return "index" }

func TestVerifyNamesAFile(t *testing.T) {
	b := newBench(t)
	backend := b.backend()
	backend.Verify = func(context.Context) (events.Head, error) {
		return b.engine.State().Head(), errors.Join(damage{}, errors.New("and more"))
	}
	b.server.Ready(backend)
	a := decode[api.VerifyAnswer](b.get("/v1/verify").want(http.StatusOK))
	if a.OK || a.BadSeq != 0 || !strings.Contains(a.Problem, "index") || !strings.Contains(a.Problem, "and more") {
		t.Errorf("%+v", a)
	}
}
