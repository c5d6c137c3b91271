package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/events/sidecar"
)

// Files that serve keeps beside the log.
const (
	nameDaemon = "daemon.json"
	nameToken  = "token"
)

// daemonFile says where the daemon of a data directory listens. It counts only
// while that process holds LOCK: a crash leaves it behind until the log is opened
// anew, and by then somebody else may listen there.
type daemonFile struct {
	URL string `json:"url"`
	PID int    `json:"pid"`
}

// errStopped says that no daemon runs on the data directory.
var errStopped = errors.New("no daemon runs on this data directory")

// deafError says that a process has the log open and does not say where it listens.
type deafError struct{ held boltlog.LockedError }

func (e *deafError) Error() string {
	return fmt.Sprintf("the data directory %s is held by process %d, which does not listen, or not yet: if it is starting, try again\n"+
		"Inside CLIProxyAPI the plugin listens if 'listen' is set for it, such as listen: %s", e.held.Path, e.held.PID, defaultListen)
}

// Unwrap returns what is said to whoever wants to open the log.
func (e *deafError) Unwrap() error { return &e.held }

// daemon finds the daemon by --url, by a context, or in the data directory.
func (env *environment) daemon() (*client, error) {
	if err := env.locate(); err != nil {
		return nil, err
	}
	if env.url != "" {
		if env.tokenFile == "" {
			return nil, usage("--url needs --token-file (%s) beside it", envTokenFile)
		}
		return env.clientFor(env.url, env.tokenFile)
	}
	if env.dataDir == "" {
		return nil, usage("which daemon? Name its data directory with --data-dir (%s), its address with --url and --token-file, or a context with --context (%s)",
			envDataDir, envContext)
	}
	found, err := findDaemon(env.dataDir)
	if errors.Is(err, errStopped) {
		return nil, fmt.Errorf("%w: start it with\n  abeyance serve --data-dir %s", err, env.dataDir)
	}
	if err != nil {
		return nil, err
	}
	token := env.tokenFile
	if token == "" {
		token = filepath.Join(env.dataDir, nameToken)
	}
	return env.clientFor(found.URL, token)
}

func (env *environment) clientFor(base, tokenFile string) (*client, error) {
	read := readToken
	if env.place.context != "" {
		read = readPrivateToken
	}
	token, err := read(tokenFile)
	if err != nil {
		return nil, &exitError{exitAuth, err}
	}
	return newClient(base, token)
}

// reader finds the daemon for a command that can do without: nil if it is stopped,
// so that the data directory is to be read itself.
func (env *environment) reader() (*client, error) {
	c, err := env.daemon()
	if errors.Is(err, errStopped) {
		return nil, nil
	}
	return c, err
}

// findDaemon returns where the daemon of a directory listens. The error is
// errStopped if there is none.
func findDaemon(dir string) (daemonFile, error) {
	switch info, err := os.Stat(dir); {
	case err != nil:
		return daemonFile{}, &boltlog.MissingError{Path: dir, Advice: "name the data directory of a daemon"}
	case !info.IsDir():
		return daemonFile{}, usage("--data-dir %s is a file: name the data directory of a daemon", dir)
	}
	// Whoever takes the lock removes a file of before: what is read after it was seen to be
	// held is of its holder, whose id may be that of the process before.
	pid, err := holder(dir)
	switch {
	case err != nil:
		return daemonFile{}, err
	case pid == 0:
		return daemonFile{}, errStopped
	}
	found, err := readDaemonFile(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return found, &deafError{boltlog.LockedError{Path: dir, PID: pid}}
	case err != nil:
		return found, err
	case pid != found.PID:
		return found, fmt.Errorf("the daemon (process %d) is starting: try again", pid)
	}
	return found, nil
}

func readDaemonFile(dir string) (found daemonFile, err error) {
	name := filepath.Join(dir, nameDaemon)
	doc, err := sidecar.Read(name)
	if err != nil {
		return found, err
	}
	if err := json.Unmarshal(doc, &found); err != nil {
		return found, fmt.Errorf("%s is damaged: %w; restart the daemon", name, err)
	}
	return found, nil
}

// errLooked ends the opening of a log that was only to be looked at.
var errLooked = errors.New("looked")

// holder returns the process that has a directory's log open for writing; 0 if none
// has. A log that cannot be opened for another reason is held by nobody.
func holder(dir string) (pid int, err error) {
	log, err := boltlog.Open(dir, &boltlog.Options{
		ReadOnly: true,
		Restore:  func(events.Head, []byte) error { return nil }, // any will do: nothing is read from it
		Replay:   func(events.Record) error { return errLooked },
	})
	if err == nil {
		return 0, log.Close()
	}
	if locked, ok := errors.AsType[*boltlog.LockedError](err); ok {
		return locked.PID, nil
	}
	return 0, nil
}
