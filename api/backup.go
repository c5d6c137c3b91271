package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"github.com/abeyance/abeyance/events"
)

// Copy is a verified copy of the log as it was at a head. Close removes it.
type Copy interface {
	io.WriterTo
	io.Closer
	Head() events.Head
	Size() int64 // of what WriteTo writes, in bytes
}

// HeaderHead is the header of a backup's answer that says how far it goes: SEQ:HASH, as
// verify takes it.
const HeaderHead = "Abeyance-Head"

// routeBackup registers the one answer that is not JSON, nor small: a plain handler.
func (s *Server) routeBackup(r chi.Router) {
	r.Get("/v1/backup", s.known(s.backup))
	s.documentedText(huma.Operation{
		OperationID: "backup", Method: http.MethodGet, Path: "/v1/backup", Summary: "A verified copy of the log",
		Description: "The header " + HeaderHead + " says how far it goes, as SEQ:HASH. Identities and tokens are not in it.",
	}, "application/octet-stream", &huma.Schema{Type: huma.TypeString, Format: "binary"})
}

// backup makes the copy before it answers, so that the answer is whole or a problem;
// Content-Length tells the client whether it got all of it.
func (s *Server) backup(_ http.ResponseWriter, r *http.Request) {
	x, b := exchangeOf(r.Context()), s.backend.Load()
	c, err := b.copy(r.Context())
	if err != nil {
		x.problem(s.problem(r.Context(), b, err))
		return
	}
	defer func() {
		if err := c.Close(); err != nil {
			s.logger.ErrorContext(r.Context(), "a backup's temporary file stays", "error", err)
		}
	}()
	h := x.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="abeyance-backup.db"`)
	h.Set("Content-Length", strconv.FormatInt(c.Size(), 10))
	h.Set(HeaderHead, fmt.Sprintf("%d:%s", c.Head().Seq, c.Head().Hash))
	x.WriteHeader(http.StatusOK)
	if _, err := c.WriteTo(x); err != nil {
		s.logger.WarnContext(r.Context(), "a backup was not taken whole", "bytes", x.bytes, "of", c.Size(), "error", err)
		panic(http.ErrAbortHandler) // half an answer must not look like a whole one
	}
}

func (b *Backend) copy(ctx context.Context) (Copy, error) {
	if b.Copy == nil {
		return nil, newProblem(CodeUnavailable, "this server cannot copy its log")
	}
	return b.Copy(ctx)
}
