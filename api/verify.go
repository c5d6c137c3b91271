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
	Head string `query:"head" doc:"SEQ:HASH as kept elsewhere: proves that nothing up to it was rewritten"`
}

// verify reads the whole log. That the log is damaged is an answer, not an error of
// the request.
func (s *Server) verify(ctx context.Context, b *Backend, q *verifyQuery) (VerifyAnswer, error) {
	if b.Verify == nil {
		return VerifyAnswer{}, newProblem(CodeUnavailable, "this server cannot verify its log")
	}
	kept, err := parseHead(q.Head)
	if err != nil {
		return VerifyAnswer{}, err
	}
	h, err := b.Verify(ctx)
	a := VerifyAnswer{OK: err == nil, Head: b.head(h)}
	if e, ok := errors.AsType[*events.ChainError](err); ok {
		s.logger.ErrorContext(ctx, "the log is damaged", "error", err)
		a.Problem, a.BadSeq = e.Error(), uint64(e.Seq)
		return a, nil
	}
	if err != nil || kept.Seq == 0 {
		return a, err
	}
	err = a.compare(ctx, b, kept)
	return a, err
}

// compare holds the log against a head that was kept elsewhere.
func (a *VerifyAnswer) compare(ctx context.Context, b *Backend, kept events.Head) error {
	if uint64(kept.Seq) > a.Head.Seq {
		a.OK, a.BadSeq = false, a.Head.Seq+1
		a.Problem = fmt.Sprintf("the log ends at record %d, and the head given is record %d: records are missing", a.Head.Seq, kept.Seq)
		return nil
	}
	r, err := b.Engine.Record(ctx, kept.Seq)
	if err != nil {
		return err
	}
	if r.Hash != kept.Hash {
		a.OK, a.BadSeq = false, uint64(kept.Seq)
		a.Problem = fmt.Sprintf("record %d has the hash %s, not the one given: the log was rewritten", kept.Seq, r.Hash)
	}
	return nil
}

// parseHead reads SEQ:HASH; empty is the zero Head.
func parseHead(text string) (events.Head, error) {
	var h events.Head
	if text == "" {
		return h, nil
	}
	seq, hash, _ := strings.Cut(text, ":")
	n, err := strconv.ParseUint(seq, 10, 64)
	if err != nil || n == 0 || h.Hash.UnmarshalText([]byte(hash)) != nil {
		return h, invalid("head: %q is not SEQ:HASH, as GET /v1/head gives them", text)
	}
	h.Seq = events.Seq(n)
	return h, nil
}
