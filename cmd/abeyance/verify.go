package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection/identity"
)

func newVerifyCommand(env *environment) *cobra.Command {
	var head string
	cmd := &cobra.Command{
		Use:   "verify [--head SEQ:HASH]",
		Short: "Check that the log is what was written, record by record",
		Long: `Check the hash chain of the whole log, and what stands beside it: the head file, the
checkpoints, the index and identities.json. The daemon does it if one runs; otherwise
the data directory is read itself. Exit code 0 if all of it is what was written, 1
otherwise, with the first bad record.

Whoever can write to the directory can rewrite all of it, hashes included. Against that
keep a head elsewhere, as verify prints it, and give it with --head: the log must still
have that record.`,
		Example: `  abeyance verify
  abeyance verify --head "$(cat head-of-last-week)"`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			kept, err := api.ParseHead(head)
			if err != nil {
				return usage("--head: %v", err)
			}
			answer, err := env.verify(cmd.Context(), kept, head)
			if err != nil {
				return err
			}
			if err := env.print(answer, func(w io.Writer) error { return writeVerify(w, answer) }); err != nil {
				return err
			}
			if !answer.OK {
				return &exitError{exitFailure, errors.New("not all of it is what was written: keep a copy of the directory; if records are concerned, restore a backup")}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&head, "head", "", "`SEQ:HASH` of a record, kept elsewhere, that the log must have")
	return cmd
}

func writeVerify(w io.Writer, a *api.VerifyAnswer) (err error) {
	switch {
	case a.OK:
		_, err = fmt.Fprintf(w, "verify ok: log %s, %d records, head %s\n", a.Head.LogID, a.Head.Seq, a.Head.Hash)
	case a.BadSeq > 0:
		_, err = fmt.Fprintf(w, "verify FAILED at record %d: %s\n", a.BadSeq, plain(a.Problem))
	default:
		_, err = fmt.Fprintf(w, "verify FAILED: %s\n", plain(a.Problem))
	}
	return err
}

// verify asks the daemon, or reads the directory of a stopped one. kept is what text,
// the flag, says.
func (env *environment) verify(ctx context.Context, kept events.Head, text string) (*api.VerifyAnswer, error) {
	c, err := env.reader()
	if err != nil {
		return nil, err
	}
	if c == nil {
		return env.verifyOffline(ctx, kept)
	}
	defer env.elapsing("the daemon is reading the whole log")()
	answer := new(api.VerifyAnswer)
	return answer, c.patient().do(ctx, get("/v1/verify", params("head", text)), answer)
}

// verifyOffline opens the log, which checks all of it, and looks at what stands beside
// it. What makes a log refused is the answer here; what keeps it from being read is an
// error.
func (env *environment) verifyOffline(ctx context.Context, kept events.Head) (*api.VerifyAnswer, error) {
	answer := new(api.VerifyAnswer)
	good := events.Head{}
	p := env.newProgress("checking the log")
	log, err := boltlog.Open(env.dataDir, &boltlog.Options{ReadOnly: true, Replay: func(r events.Record) error {
		p.step()
		good = good.Next(r)
		return ctx.Err()
	}})
	p.done()
	if err == nil {
		defer log.Close()
		good, err = verifyDir(ctx, log, env.dataDir)
	}
	if err != nil && !blame(answer, err) {
		return nil, err
	}
	answer.OK = err == nil
	answer.Head = api.HeadAnswer{LogID: good.Log, Seq: uint64(good.Seq), Hash: good.Hash.String(), At: api.Time{Time: good.At}}
	if !answer.OK || kept.Seq == 0 {
		return answer, nil
	}
	return answer, answer.Compare(kept, recordOf(ctx, log))
}

// verifyDir checks a log, what stands beside it, and the book of identities.
func verifyDir(ctx context.Context, log *boltlog.Log, dir string) (events.Head, error) {
	head, err := log.Verify(ctx, nil)
	path := filepath.Join(dir, identity.FileName)
	if _, bad := identity.Open(path); bad != nil {
		err = errors.Join(err, &bookError{path, bad})
	}
	return head, err
}

// bookError says that the book of identities cannot be used.
type bookError struct {
	path string
	err  error // names the path
}

func (e *bookError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *bookError) Unwrap() error { return e.err }

// Damaged returns the file, as the errors of package boltlog do.
func (e *bookError) Damaged() string { return e.path }

// blame fills in what is wrong with the log or what stands beside it, and reports
// whether err is about that.
func blame(answer *api.VerifyAnswer, err error) bool {
	type damage interface {
		error
		Damaged() string
	}
	answer.Problem = err.Error()
	if bad, ok := errors.AsType[*events.ChainError](err); ok {
		answer.BadSeq = uint64(bad.Seq)
		return true
	}
	if back, ok := errors.AsType[*boltlog.RollbackError](err); ok && back.Log.Log == back.Head.Log {
		// The first record that is missing, or the one that is another.
		answer.BadSeq = uint64(min(back.Log.Seq+1, back.Head.Seq))
	}
	_, ok := errors.AsType[damage](err)
	return ok
}
