package ndjson

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/abeyance/abeyance/events"
)

// LineError says which line of an export is wrong, and how.
type LineError struct {
	Line int // from 1
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d %v", e.Line, e.Err) }

// Unwrap returns what is wrong.
func (e *LineError) Unwrap() error { return e.Err }

// PartError says that an export holds a part of a log, of which no log can be made.
type PartError struct{ Problem string }

func (e *PartError) Error() string {
	return "this is a part of a log, and a log can only be made of all its records from the first on: " + e.Problem +
		"; export it without a filter and without a beginning"
}

// Is reports whether a document begins as an export does. A few bytes of it will do.
func Is(doc []byte) bool {
	const space = "\ufeff \t\r\n"
	member, ok := bytes.CutPrefix(bytes.TrimLeft(doc, space), []byte("{"))
	return ok && bytes.HasPrefix(bytes.TrimLeft(member, space), []byte(`"abeyance_export"`))
}

// Reader reads an export.
type Reader struct {
	r    *bufio.Reader
	line int // the number of the line read last
	head Header
	dec  *events.Decoder
}

// NewReader reads the first line. Errors are a *LineError, an *events.FormatError for
// an export of a newer version, or the reader's below.
func NewReader(r io.Reader) (*Reader, error) {
	x := &Reader{r: bufio.NewReaderSize(r, bufferSize), dec: events.NewDecoder()}
	if b, err := x.r.Peek(len("\ufeff")); err == nil && string(b) == "\ufeff" {
		_, _ = x.r.Discard(len(b)) // it was seen
	}
	line, err := x.next()
	if errors.Is(err, io.EOF) {
		return nil, &LineError{1, errors.New("is missing: the file is empty")}
	}
	if err == nil {
		err = x.begin(line)
	}
	return x, err
}

// Header returns what the first line says.
func (x *Reader) Header() Header { return x.head }

// header is the first line as it is read.
type header struct {
	Format int          `json:"abeyance_export"`
	Log    string       `json:"log"`
	First  events.Seq   `json:"first_seq"`
	Prev   *events.Hash `json:"prev"`
	Last   events.Seq   `json:"last_seq"`
	Filter *struct {
		Account string      `json:"account"`
		Target  string      `json:"target"`
		Kind    events.Kind `json:"kind"`
	} `json:"filter"`
}

func (x *Reader) begin(line []byte) error {
	var h header
	if err := json.Unmarshal(line, &h); err != nil {
		return x.fault("is not the first line of an export: %v", err)
	}
	switch {
	case h.Format > Format:
		return &events.FormatError{What: fmt.Sprintf("format %d of the export", h.Format)}
	case h.Format != Format || h.Log == "" || h.Prev == nil || h.First == 0 || h.Last < h.First-1:
		return x.fault("is not the first line of an export")
	}
	x.head = Header{Log: h.Log, First: h.First, Last: h.Last, Prev: *h.Prev}
	if h.Filter != nil {
		x.head.Filter = events.Filter{Account: h.Filter.Account, Target: h.Filter.Target, Kind: h.Filter.Kind}
	}
	return nil
}

// Whole returns a *PartError unless the export holds every record of a log from the
// first on, though perhaps not up to its newest.
func (h *Header) Whole() error {
	switch {
	case h.Filter != events.Filter{}:
		return &PartError{"it was exported with a filter"}
	case h.First != 1:
		return &PartError{fmt.Sprintf("it begins at record %d", h.First)}
	}
	return nil
}

// Records yields the records of a whole export, each checked against the hash chain
// from the log's id on. The iterator yields either a record and a nil error, or an empty
// record and an error, after which it ends: a *PartError, a *LineError around what is
// wrong with a line, or the error of the reader below. That the last record was yielded
// does not mean that the export is whole: that it ends without an error does.
func (x *Reader) Records() iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		if err := x.begins(); err != nil {
			yield(events.Record{}, err)
			return
		}
		head := events.Head{Log: x.head.Log, Hash: x.head.Prev}
		for {
			r, last, err := x.record(head)
			if err == nil && last != nil {
				if err = x.ends(head, last); err == nil {
					return
				}
			}
			if !yield(r, err) || err != nil {
				return
			}
			head = head.Next(r)
		}
	}
}

// begins checks that a log can begin with the export.
func (x *Reader) begins() error {
	if err := x.head.Whole(); err != nil {
		return err
	}
	if x.head.Prev != events.Genesis(x.head.Log) {
		return &LineError{1, fmt.Errorf("does not begin as the log %s does: its prev is another", x.head.Log)}
	}
	return nil
}

// record reads the next line: a record that follows head, or the last line.
func (x *Reader) record(head events.Head) (events.Record, *end, error) {
	line, err := x.next()
	if errors.Is(err, io.EOF) {
		return events.Record{}, nil, &LineError{x.line + 1, errors.New("is missing: the export was cut off")}
	}
	if err != nil {
		return events.Record{}, nil, err
	}
	var row row
	if err := json.Unmarshal(line, &row); err != nil {
		return events.Record{}, nil, x.fault("is no JSON of an export: %v", err)
	}
	if row.End != nil {
		return events.Record{}, &row.end, nil
	}
	if row.Seq == 0 || row.Hash == nil || len(row.Record) == 0 {
		return events.Record{}, nil, x.fault("holds no record")
	}
	r, err := x.dec.Open(head, row.Seq, row.Record, *row.Hash)
	if err != nil {
		return events.Record{}, nil, &LineError{x.line, fmt.Errorf("cannot be taken: %w", err)}
	}
	return r, nil, nil
}

// row is a line as it is read.
type row struct {
	end
	Record []byte `json:"record"`
}

// end is the last line as it is read. A record's line has its last two members, too.
type end struct {
	End     *int         `json:"abeyance_export_end"`
	Records uint64       `json:"records"`
	Seq     events.Seq   `json:"seq"`
	Hash    *events.Hash `json:"hash"`
}

// ends checks that the last line is that of the records read, and that nothing follows.
func (x *Reader) ends(head events.Head, e *end) error {
	switch {
	case *e.End != Format || e.Hash == nil:
		return x.fault("is not the last line of an export")
	case e.Records != uint64(head.Seq) || e.Seq != head.Seq || *e.Hash != head.Hash || e.Seq != x.head.Last:
		return x.fault("says that the export ends with record %d after %d records, and there were %d of %d",
			e.Seq, e.Records, head.Seq, x.head.Last)
	}
	if _, err := x.next(); err == nil {
		return x.fault("follows the last line of the export")
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// next returns the next line without its end, which is overwritten by the one after.
func (x *Reader) next() ([]byte, error) {
	line, err := x.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		line, err = x.long(line)
	}
	switch {
	case errors.Is(err, io.EOF) && len(line) == 0:
		return nil, io.EOF
	case errors.Is(err, io.EOF):
		x.line++
		return nil, x.fault("has no end: the export was cut off")
	case err != nil:
		return nil, err
	}
	x.line++
	return line[:len(line)-1], nil
}

// long reads the rest of a line that does not fit the buffer.
func (x *Reader) long(begun []byte) ([]byte, error) {
	line := bytes.Clone(begun)
	for {
		more, err := x.r.ReadSlice('\n')
		line = append(line, more...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
		if len(line) > maxLine {
			x.line++
			return nil, x.fault("is longer than the %d bytes that a line can have", maxLine)
		}
	}
}

// fault says what is wrong with the line read last.
func (x *Reader) fault(format string, args ...any) error {
	return &LineError{x.line, fmt.Errorf(format, args...)}
}
