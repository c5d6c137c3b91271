package hooks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/sidecar"
	"github.com/abeyance/abeyance/projection"
)

// FileName is the name of the file of cursors in a data directory.
const FileName = "webhooks.json"

// fileVersion is of the file format.
const fileVersion = 1

// cursor is how far a hook has come.
type cursor struct {
	Seq  events.Seq  `json:"seq"`
	Hash events.Hash `json:"hash"`
	At   time.Time   `json:"at"`
	// Told are the ids of notices beyond this that were told: the ends of what was told
	// as a whole.
	Told []string `json:"told,omitempty"`
}

func (c *cursor) position() projection.Position {
	return projection.Position{Seq: c.Seq, Hash: c.Hash, At: c.At}
}

type cursorFile struct {
	Version int               `json:"version"`
	Log     string            `json:"log_id"`
	Hooks   map[string]cursor `json:"hooks"`
}

// cursors is the file. All methods may be called from several goroutines.
type cursors struct {
	path string
	log  string

	mu    sync.Mutex // held while the file is replaced
	hooks map[string]cursor
}

// openCursors reads the file, if there is one. What is no such file any more is put
// aside, with an error in the log: whether accounts are served must not depend on who is
// told of it. A file that cannot be read, or of a later version, is an error.
func openCursors(path, log string, logger *slog.Logger) (*cursors, error) {
	c := &cursors{path: path, log: log, hooks: map[string]cursor{}}
	doc, err := sidecar.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	var f cursorFile
	err = json.Unmarshal(doc, &f)
	switch {
	case err != nil || f.Version < 1 || f.Log == "":
		aside := path + ".damaged"
		if err := os.Rename(path, aside); err != nil {
			return nil, fmt.Errorf("%s is damaged and cannot be put aside: %w", path, err)
		}
		logger.Error("the cursors of the webhooks are damaged: all begin at the head, and what they were not told yet is not sent",
			"file", path, "kept_as", aside)
	case f.Version != fileVersion:
		return nil, fmt.Errorf("%s has format version %d, and this version of Abeyance reads %d: use the one that wrote it, or delete the file to have all webhooks begin at the head",
			path, f.Version, fileVersion)
	case f.Log != log:
		logger.Warn("the cursors of the webhooks are of another log: all begin at the head", "file", path, "log_id", f.Log)
	default:
		maps.Copy(c.hooks, f.Hooks)
	}
	return c, nil
}

func (c *cursors) get(hook string) (cursor, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x, ok := c.hooks[hook]
	return x, ok
}

// put keeps a hook's cursor durably before it returns. After an error the file is as it
// was.
func (c *cursors) put(hook string, x cursor) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := maps.Clone(c.hooks)
	next[hook] = x
	return c.replace(next)
}

// keep forgets the cursors of all hooks but some.
func (c *cursors) keep(names map[string]bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := maps.Clone(c.hooks)
	maps.DeleteFunc(next, func(name string, _ cursor) bool { return !names[name] })
	if len(next) == len(c.hooks) {
		return nil
	}
	return c.replace(next)
}

func (c *cursors) replace(next map[string]cursor) error {
	doc, err := json.MarshalIndent(cursorFile{fileVersion, c.log, next}, "", "  ")
	if err == nil {
		err = sidecar.Write(c.path, append(doc, '\n'))
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", c.path, err)
	}
	c.hooks = next
	return nil
}
