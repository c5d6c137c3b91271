package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"
)

// decode reads one JSON value strictly: no unknown members, none given twice or in
// another case, nothing after it.
func decode(doc []byte, v any) *Problem {
	if !utf8.Valid(doc) {
		return newProblem(CodeInvalidBody, "the body is not UTF-8")
	}
	return decodeUpstream(doc, v)
}

// decodeUpstream is decode for bodies that carry what an upstream sent: bytes that are
// not UTF-8 become replacement characters, because a limit must not go unreported.
func decodeUpstream(doc []byte, v any) *Problem {
	if len(bytes.TrimSpace(doc)) == 0 {
		return newProblem(CodeInvalidBody, "the body is empty; it must be a JSON object")
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return newProblem(CodeInvalidBody, "the body is not what this route takes: "+bodyError(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return newProblem(CodeInvalidBody, "the body goes on after its JSON value")
	}
	if err := checkNames(doc, reflect.TypeOf(v)); err != nil {
		return newProblem(CodeInvalidBody, "the body is not what this route takes: "+err.Error())
	}
	return nil
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
