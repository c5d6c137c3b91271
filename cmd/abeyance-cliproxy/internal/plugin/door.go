package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events/sidecar"
)

// daemonFile tells the command line where the API is, as that of the daemon does.
const daemonFile = "daemon.json"

// graceDoor is how long requests under way may take when an address is left.
const graceDoor = 2 * time.Second

// door is an address that is listened on.
type door struct {
	addr   string // as configured
	http   *http.Server
	served chan error
	file   string
}

// listen moves to an address, or with an empty one stops listening. That an address
// cannot be had is told once and nothing more, as picks do not need it: the keeper of the
// log asks for it again.
func (c *core) listen(logger *slog.Logger, addr string) {
	if c.door != nil && c.door.addr == addr {
		return
	}
	if err := c.shut(); err != nil {
		logger.Warn("an address could not be left cleanly", "error", err)
	}
	if addr == "" {
		c.missed = ""
		return
	}
	url, err := c.open(logger, addr)
	if err != nil {
		if c.missed != addr {
			logger.Error("nothing is listened on: the API, the dashboard and the metrics cannot be reached; it is tried again", "listen", addr, "error", err)
		}
		c.missed = addr
		return
	}
	c.missed = ""
	logger.Info("listening", "url", url, "token", filepath.Join(c.dir, api.TokenFile))
}

func (c *core) open(logger *slog.Logger, addr string) (url string, err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", err
	}
	url = "http://" + l.Addr().String()
	doc, err := json.Marshal(map[string]any{"url": url, "pid": os.Getpid()})
	if err != nil {
		return "", errors.Join(err, l.Close())
	}
	d := &door{addr: addr, served: make(chan error, 1), file: filepath.Join(c.dir, daemonFile)}
	if err := sidecar.Write(d.file, append(doc, '\n')); err != nil {
		return "", errors.Join(fmt.Errorf("writing %s: %w", d.file, err), l.Close())
	}
	d.http = api.NewHTTPServer(c.server, logger)
	go func() { d.served <- d.http.Serve(l) }()
	c.door = d
	return url, nil
}

// shut stops listening. Requests under way may finish.
func (c *core) shut() error {
	d := c.door
	if d == nil {
		return nil
	}
	c.door = nil
	ctx, cancel := context.WithTimeout(context.Background(), graceDoor)
	defer cancel()
	err := d.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests were cut off: %w", err), d.http.Close())
	}
	<-d.served
	return errors.Join(err, os.Remove(d.file))
}
