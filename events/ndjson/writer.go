package ndjson

import (
	"fmt"
	"io"

	"github.com/abeyance/abeyance/events"
)

// Format is the version of the format.
const Format = 1

// Header says what an export holds: the first line.
type Header struct {
	Log string // the log's id
	// First and Last are the range of the log that was read. A range without records
	// ends before it begins.
	First, Last events.Seq
	Prev        events.Hash // of the record before First
	Filter      events.Filter
}

// bufferSize is how many bytes are written at once.
const bufferSize = 64 << 10

// Writer writes an export. Give it every record of the range, in order, wanted or not:
// it needs the hash before each.
type Writer struct {
	w    io.Writer
	f    events.Filter
	last events.Record // the newest given
	head Header
	n    uint64 // record lines
	buf  []byte
}

// NewWriter begins an export.
func NewWriter(w io.Writer, h Header) *Writer {
	x := &Writer{w: w, f: h.Filter, head: h, buf: make([]byte, 0, bufferSize+maxLine/64)}
	x.last.Seq, x.last.Hash = h.First-1, h.Prev
	x.buf = h.append(x.buf)
	return x
}

// Write writes a record's line, if the filter wants it. Errors are of the writer below,
// or say that the record is not the one that is due.
func (x *Writer) Write(r events.Record) error {
	if r.Seq != x.last.Seq+1 {
		return fmt.Errorf("record %d was given to be exported after record %d", r.Seq, x.last.Seq)
	}
	prev := x.last.Hash
	x.last = r
	if !x.f.Matches(r) {
		return nil
	}
	x.n++
	x.buf = appendRecord(x.buf, r, prev)
	if len(x.buf) < bufferSize {
		return nil
	}
	return x.flush()
}

// Records returns how many record lines there are so far.
func (x *Writer) Records() uint64 { return x.n }

// Close ends a whole export, of which the whole range was given. An export that is not
// closed is recognised as cut off.
func (x *Writer) Close() error {
	if x.last.Seq != x.head.Last {
		return fmt.Errorf("the export ends at record %d, not at record %d as it should", x.last.Seq, x.head.Last)
	}
	x.buf = appendTrailer(x.buf, Trailer{Records: x.n, Seq: x.last.Seq, Hash: x.last.Hash})
	return x.flush()
}

func (x *Writer) flush() error {
	_, err := x.w.Write(x.buf)
	x.buf = x.buf[:0]
	return err
}
