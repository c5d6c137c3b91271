package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// decode reads one JSON value strictly: of the shape that the document gives the body,
// no member given twice or in another case, nothing after it.
func decode(doc []byte, v any, s *shape) *Problem {
	if !utf8.Valid(doc) {
		return newProblem(CodeInvalidBody, "the body is not UTF-8")
	}
	return decodeUpstream(doc, v, s)
}

// decodeUpstream is decode for bodies that carry what an upstream sent: bytes that are
// not UTF-8 become replacement characters, because a limit must not go unreported.
func decodeUpstream(doc []byte, v any, s *shape) *Problem {
	if len(bytes.TrimSpace(doc)) == 0 {
		return emptyBody()
	}
	if s == nil { // unreachable: a test holds the routes that take bodies against the document
		return newProblem(CodeInternal, "nothing describes the body of this route")
	}
	err := json.Unmarshal(doc, v)
	if err != nil && !json.Valid(doc) {
		return newProblem(CodeInvalidBody, notJSON(doc))
	}
	if bad := checkShape(doc, s); bad != nil {
		return bad.problem()
	}
	if err != nil { // it has the shape, and is still none that can be
		return invalid("%s", bodyError(err))
	}
	return nil
}

func emptyBody() *Problem {
	return newProblem(CodeInvalidBody, "the body is empty; it must be a JSON object")
}

// notJSON says why a document is not one JSON value.
func notJSON(doc []byte) string {
	d := json.NewDecoder(bytes.NewReader(doc))
	var first json.RawMessage
	if err := d.Decode(&first); err != nil {
		return "the body is not what this route takes: " + bodyError(err)
	}
	return "the body goes on after its JSON value"
}

// bodyError says in the words of a client what is wrong.
func bodyError(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		where := e.Field
		if where == "" {
			where = "the body"
		}
		return where + " cannot be a JSON " + e.Value
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return "it ends too early"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// encode writes one JSON value.
func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
