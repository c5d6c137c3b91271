package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
)

func newVerifyCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Check that the log is what was written, record by record",
		Long: `Check the hash chain of the whole log. The daemon does it if one runs; otherwise the
data directory is read itself. Exit code 0 if every record is what was written, 1
otherwise, with the first bad record.`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			answer, err := env.verify(cmd.Context())
			if err != nil {
				return err
			}
			if err := env.print(answer, func(w io.Writer) error { return writeVerify(w, answer) }); err != nil {
				return err
			}
			if !answer.OK {
				return &exitError{exitFailure, errors.New("the log is not what was written: keep a copy of the directory and restore a backup")}
			}
			return nil
		},
	}
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

func (env *environment) verify(ctx context.Context) (*api.VerifyAnswer, error) {
	c, err := env.reader()
	if err != nil {
		return nil, err
	}
	if c == nil {
		return env.verifyOffline(ctx)
	}
	answer := new(api.VerifyAnswer)
	return answer, c.do(ctx, get("/v1/verify", nil), answer)
}

// verifyOffline opens the log, which checks all of it. What makes a log refused is
// the answer here; what keeps it from being read is an error.
func (env *environment) verifyOffline(ctx context.Context) (*api.VerifyAnswer, error) {
	answer := new(api.VerifyAnswer)
	good := events.Head{}
	log, err := env.openArchive(func(r events.Record) error {
		good = good.Next(r)
		return ctx.Err()
	})
	if err == nil {
		defer log.Close()
		if good, err = log.Head(ctx); err != nil {
			return nil, err
		}
		answer.OK = true
	} else if !blame(answer, err) {
		return nil, err
	}
	answer.Head = api.HeadAnswer{LogID: good.Log, Seq: uint64(good.Seq), Hash: good.Hash.String(), At: api.Time{Time: good.At}}
	return answer, nil
}

// blame fills in what is wrong with the log, and reports whether err is about that.
func blame(answer *api.VerifyAnswer, err error) bool {
	if bad, ok := errors.AsType[*events.ChainError](err); ok {
		answer.BadSeq = uint64(bad.Seq)
	} else if _, ok := errors.AsType[*boltlog.RollbackError](err); !ok {
		if _, ok := errors.AsType[*boltlog.DamageError](err); !ok {
			return false
		}
	}
	answer.Problem = err.Error()
	return true
}
