package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
)

func newBackupCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE|-",
		Short: "Copy the log to a file, or to stdout, while the daemon runs",
		Long: `Copy the log as it is now, and check the copy record by record. The daemon makes it if
one runs, and goes on meanwhile; otherwise the data directory is read itself. FILE must
not exist; it appears when it is complete.

The copy is the log and nothing else. Keep identities.json from the data directory with
it: without that, accounts whose ids hold e-mail addresses are not known again.`,
		Example: `  abeyance backup abeyance.db
  abeyance backup - | gzip > abeyance.db.gz`,
		Args: arguments(1, 1, "one FILE, or - for stdout"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "-" && isTerminal(env.out) {
				return usage("a backup is not for a terminal: name a file, or write it into a pipe")
			}
			c, err := env.reader()
			if err != nil {
				return err
			}
			b := &backup{env: env, daemon: c}
			if args[0] == "-" {
				return b.toPipe(cmd.Context())
			}
			return b.toFile(cmd.Context(), args[0])
		},
	}
}

// backupAnswer is what backup and restore print.
type backupAnswer struct {
	Path  string   `json:"path"`
	LogID string   `json:"log_id"`
	Seq   uint64   `json:"seq"`
	Hash  string   `json:"hash"`
	At    api.Time `json:"at"`
	Bytes int64    `json:"bytes,omitempty"`
}

func newBackupAnswer(path string, head events.Head) *backupAnswer {
	return &backupAnswer{Path: path, LogID: head.Log, Seq: uint64(head.Seq), Hash: head.Hash.String(), At: api.Time{Time: head.At}}
}

// backup is one run of the command.
type backup struct {
	env    *environment
	daemon *client // nil: stopped
	temp   string  // directory for a copy made here; empty: the system's
}

func (b *backup) toPipe(ctx context.Context) error {
	head, err := b.write(ctx, b.env.out)
	if err == nil {
		b.env.say("backup ok: %d records, head %d:%s", head.Seq, head.Seq, head.Hash)
	}
	return err
}

// toFile writes a file of another name and checks it, before it gets its own.
func (b *backup) toFile(ctx context.Context, name string) error {
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return &exitError{exitConflict, fmt.Errorf("%s exists; a backup never replaces anything: name another file", name)}
	}
	b.temp = filepath.Dir(name)
	f, err := os.CreateTemp(b.temp, "."+filepath.Base(name)+".*") // with mode 0600
	if err != nil {
		return err
	}
	head, err := b.store(ctx, f)
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	answer := newBackupAnswer(name, head)
	if info, err := os.Stat(name); err == nil {
		answer.Bytes = info.Size()
	}
	b.env.say("Keep identities.json with it: it tells which accounts the ids of the form acct_... are.")
	return b.env.print(answer, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "backup ok: log %s, %d records, head %s, %d bytes in %s\n", answer.LogID, answer.Seq, answer.Hash, answer.Bytes, name)
		return err
	})
}

// store writes the backup to f, makes it durable and reads it again.
func (b *backup) store(ctx context.Context, f *os.File) (events.Head, error) {
	head, err := b.write(ctx, f)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return head, err
	}
	p := b.env.newProgress("checking the backup")
	defer p.done()
	found, err := boltlog.VerifyBackup(ctx, f.Name(), func(done, total events.Seq) { p.reach(uint64(done), uint64(total)) })
	if err == nil && (found.Seq != head.Seq || found.Hash != head.Hash) {
		err = fmt.Errorf("the backup ends at %d:%s, not at %d:%s as it should", found.Seq, found.Hash, head.Seq, head.Hash)
	}
	return found, err
}

// write writes the backup, and returns its head, of which a daemon tells only seq and
// hash.
func (b *backup) write(ctx context.Context, w io.Writer) (events.Head, error) {
	if b.daemon != nil {
		return b.fetch(ctx, w)
	}
	p := b.env.newProgress("copying the log")
	defer p.done()
	log, err := boltlog.Open(b.env.dataDir, &boltlog.Options{
		ReadOnly: true, CopyDir: b.temp,
		Restore: func(events.Head, []byte) error { return nil }, // copying checks all records
	})
	if err != nil {
		return events.Head{}, err
	}
	head, err := log.Backup(ctx, w, p.reach)
	return head, errors.Join(err, log.Close())
}

// fetch gets the backup from the daemon.
func (b *backup) fetch(ctx context.Context, w io.Writer) (head events.Head, err error) {
	res, err := b.request(ctx)
	if err != nil {
		return head, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return head, readProblem(res)
	}
	if head, err = api.ParseHead(res.Header.Get(api.HeaderHead)); err != nil {
		return head, fmt.Errorf("the answer of %s: %w", b.daemon.base, err)
	}
	p := b.env.newProgress("fetching the backup")
	defer p.done()
	body := &countingReader{r: res.Body, each: func(n uint64) { p.reach(n, uint64(max(res.ContentLength, 0))) }}
	if _, err := io.Copy(w, body); err != nil {
		return head, fmt.Errorf("fetching the backup: %w", err)
	}
	return head, nil
}

func (b *backup) request(ctx context.Context) (*http.Response, error) {
	defer b.env.elapsing("the daemon is copying the log")()
	c := b.daemon.patient()
	req, err := c.request(ctx, get("/v1/backup", nil))
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	return res, nil
}

// patient returns a client that waits for ever: for work as long as the log.
func (c *client) patient() *client {
	waits, client := *c, *c.http
	client.Timeout = 0
	waits.http = &client
	return &waits
}

// countingReader tells how many bytes were read.
type countingReader struct {
	r    io.Reader
	n    uint64
	each func(n uint64)
}

// Read implements io.Reader.
func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.n += uint64(n)
	r.each(r.n)
	return n, err
}

// reach shows how much of a work is done.
func (p *progress) reach(done, total uint64) {
	if p.env.quiet || total == 0 || !isTerminal(p.env.err) {
		return
	}
	if now := time.Now(); now.After(p.next) {
		p.next, p.shown = now.Add(progressEvery), true
		fmt.Fprintf(p.env.err, "\r%s: %d %%", p.what, done*100/total)
	}
}

// elapsing shows how long something has been waited for that tells of no progress,
// until the function it returns is called.
func (env *environment) elapsing(what string) (done func()) {
	if env.quiet || !isTerminal(env.err) {
		return func() {}
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for seconds := 1; ; seconds++ {
			select {
			case <-time.After(progressAfter):
				fmt.Fprintf(env.err, "\r%s: %d s", what, seconds)
			case <-stop:
				fmt.Fprint(env.err, "\r\x1b[K")
				return
			}
		}
	}()
	return func() { close(stop); <-ended }
}
