package api

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/abeyance/abeyance/events"
)

type verifyQuery struct {
	Head string `query:"head" format:"head" doc:"SEQ:HASH as kept elsewhere: proves that nothing up to it was rewritten"`
}

// damage is an error that says that a file is not what was written. Those of package
// boltlog do.
type damage interface {
	error
	Damaged() string // the path of the file
}

// verify reads the whole log and what stands beside it. That they are damaged is an
// answer, not an error of the request.
func (s *Server) verify(ctx context.Context, b *Backend, q *verifyQuery) (VerifyAnswer, error) {
	if b.Verify == nil {
		return VerifyAnswer{}, newProblem(CodeUnavailable, "this server cannot verify its log")
	}
	kept, err := ParseHead(q.Head)
	if err != nil {
		return VerifyAnswer{}, invalid("head: %v", err)
	}
	h, err := b.Verify(ctx)
	a := VerifyAnswer{OK: err == nil, Head: b.head(h)}
	switch {
	case a.blame(err):
		s.logger.ErrorContext(ctx, "the log is damaged", "error", err)
		return a, nil
	case err != nil || kept.Seq == 0:
		return a, err
	}
	err = a.compare(ctx, b, kept)
	return a, err
}

// blame fills in what is wrong, and reports whether err is about that.
func (a *VerifyAnswer) blame(err error) bool {
	if e, ok := errors.AsType[*events.ChainError](err); ok {
		a.Problem, a.BadSeq = e.Error(), uint64(e.Seq)
		return true
	}
	if _, ok := errors.AsType[damage](err); ok {
		a.Problem = err.Error()
		return true
	}
	return false
}

// compare holds the log against a head that was kept elsewhere.
func (a *VerifyAnswer) compare(ctx context.Context, b *Backend, kept events.Head) error {
	return a.Compare(kept, func(seq events.Seq) (events.Record, error) { return b.Engine.Record(ctx, seq) })
}

// Compare holds an answer, which found nothing wrong, against a head that was kept
// elsewhere: the log must still have that record. record returns the record of a seq.
func (a *VerifyAnswer) Compare(kept events.Head, record func(events.Seq) (events.Record, error)) error {
	if uint64(kept.Seq) > a.Head.Seq {
		a.OK, a.BadSeq = false, a.Head.Seq+1
		a.Problem = fmt.Sprintf("the log ends at record %d, and the head given is record %d: records are missing", a.Head.Seq, kept.Seq)
		return nil
	}
	r, err := record(kept.Seq)
	if err != nil {
		return err
	}
	if r.Hash != kept.Hash {
		a.OK, a.BadSeq = false, uint64(kept.Seq)
		a.Problem = fmt.Sprintf("record %d has the hash %s, not the one given: the log was rewritten", kept.Seq, r.Hash)
	}
	return nil
}

// ParseHead reads SEQ:HASH, as GET /v1/head and verify give them; empty is the zero
// Head.
func ParseHead(text string) (events.Head, error) {
	var h events.Head
	if text == "" {
		return h, nil
	}
	seq, hash, _ := strings.Cut(text, ":")
	n, err := strconv.ParseUint(seq, 10, 64)
	if err != nil || n == 0 || h.Hash.UnmarshalText([]byte(hash)) != nil {
		return h, fmt.Errorf("%q is not SEQ:HASH, as GET /v1/head and verify give them", text)
	}
	h.Seq = events.Seq(n)
	return h, nil
}
