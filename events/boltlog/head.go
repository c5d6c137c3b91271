package boltlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/abeyance/abeyance/events"
)

// The head file is written when this much is not yet told of, whichever comes
// first, and then not again before noteGap has passed: a write costs a sync, and
// a busy log must not spend its disk on them.
const (
	noteAfter   = time.Second
	noteRecords = 1000
	noteGap     = 100 * time.Millisecond
)

const headFormat = "abeyance head 1"

// formatHead returns the text of the head file.
func formatHead(h events.Head) []byte {
	return fmt.Appendf(nil, "%s\nlog %s\nseq %d\nhash %s\nat %s\n",
		headFormat, h.Log, h.Seq, h.Hash, h.At.UTC().Format(time.RFC3339Nano))
}

// parseHead reads what formatHead writes, and nothing else.
func parseHead(text []byte) (events.Head, error) {
	lines := strings.Split(string(text), "\n")
	if v, ok := strings.CutPrefix(lines[0], "abeyance head "); ok && lines[0] != headFormat {
		return events.Head{}, &events.FormatError{What: fmt.Sprintf("format %q of the head file", v)}
	}
	var h events.Head
	var values [4]string
	for i, key := range []string{"log ", "seq ", "hash ", "at "} {
		if i+1 < len(lines) {
			values[i], _ = strings.CutPrefix(lines[i+1], key)
		}
	}
	seq, err := strconv.ParseUint(values[1], 10, 64)
	if err == nil {
		err = h.Hash.UnmarshalText([]byte(values[2]))
	}
	if err == nil {
		h.At, err = time.Parse(time.RFC3339Nano, values[3])
	}
	h.Log, h.Seq = values[0], events.Seq(seq)
	if err != nil || !bytes.Equal(text, formatHead(h)) {
		return events.Head{}, errors.New("is not a head file as Abeyance writes it")
	}
	return h, nil
}

// readHead returns what the head file says; false if there is none.
func readHead(root *os.Root) (events.Head, bool, error) {
	f, err := root.Open(nameHead)
	if errors.Is(err, fs.ErrNotExist) {
		return events.Head{}, false, nil
	}
	if err != nil {
		return events.Head{}, false, fmt.Errorf("the head file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 1<<12))
	if err != nil {
		return events.Head{}, false, fmt.Errorf("the head file: %w", err)
	}
	h, err := parseHead(text)
	if err != nil {
		return events.Head{}, false, badHead(root, err)
	}
	return h, true, nil
}

// badHead says what is wrong with the head file. A newer version is no damage.
func badHead(root *os.Root, err error) error {
	if _, ok := errors.AsType[*events.FormatError](err); ok {
		return fmt.Errorf("%s: %w", filepath.Join(root.Name(), nameHead), err)
	}
	return &DamageError{
		Path: filepath.Join(root.Name(), nameHead), Err: err,
		Advice: "put the right file back, or move this one away: the log is still checked, " +
			"but that newer records were cut off would not be noticed",
	}
}

// writeHead replaces the head file. The directory is not synced: should a power
// cut bring the old file back, it lags, as it may.
func writeHead(root *os.Root, h events.Head) error {
	f, err := root.OpenFile(nameHead+suffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(formatHead(h))
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return root.Rename(nameHead+suffix, nameHead)
}

// noter keeps the head file up to date in a goroutine of its own.
type noter struct {
	root *os.Root
	log  *slog.Logger
	head *atomic.Pointer[events.Head] // what is durable in log.db
	wake chan struct{}                // of capacity 1: the head has moved
	stop chan struct{}
	done chan struct{}

	noted atomic.Uint64 // the seq in the file; the goroutine alone changes it
	known bool          // there is a file, of this log
	// armed: a timer will have the head noted, so that nobody need wake the goroutine for
	// fewer than noteRecords.
	armed atomic.Bool
}

// start starts keeping the head file.
func (n *noter) start() {
	n.wake, n.stop, n.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	go n.run()
	n.moved()
}

// moved tells the noter that the head has moved, and starts it if need be. It never
// waits.
func (n *noter) moved() {
	if n.done == nil {
		n.start()
		return
	}
	if n.armed.Load() && n.behind() < noteRecords {
		return // each wake-up costs a commit some microseconds
	}
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// behind is how many records the file does not tell of.
func (n *noter) behind() uint64 { return uint64(n.head.Load().Seq) - n.noted.Load() }

// close writes the head a last time and ends the goroutine.
func (n *noter) close() {
	if n.done == nil {
		return
	}
	close(n.stop)
	<-n.done
}

func (n *noter) run() {
	defer close(n.done)
	defer n.write()
	var due <-chan time.Time // nil while the file is up to date
	var last time.Time
	for {
		select {
		case <-n.stop:
			return
		case <-due:
			n.armed.Store(false) // before the head is read: what comes later wakes
			n.write()
			due, last = nil, time.Now()
			continue
		case <-n.wake:
		}
		switch wait := noteGap - time.Since(last); {
		case !n.known:
			n.write()
			last = time.Now()
		case n.behind() >= noteRecords:
			due = time.After(max(0, wait))
		case due == nil:
			due = time.After(noteAfter)
			n.armed.Store(true)
		}
	}
}

// write brings the file up to date. A failure costs nothing but the protection
// that the file gives: it is logged, and the next commit tries again.
func (n *noter) write() {
	h := *n.head.Load()
	if n.known && uint64(h.Seq) == n.noted.Load() {
		return
	}
	if err := writeHead(n.root, h); err != nil {
		n.log.Warn("the head file could not be written; it lags behind the log", "dir", n.root.Name(), "seq", h.Seq, "error", err)
		return
	}
	n.noted.Store(uint64(h.Seq))
	n.known = true
}
