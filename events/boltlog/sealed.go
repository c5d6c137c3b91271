package boltlog

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/abeyance/abeyance/events"
)

// A sealed file is something that was worked out from the records up to a head and
// can be worked out again: a checkpoint or the index. The package comment has its form.
// Every bit of it counts: the seal must be exactly what formatSeal writes, log, seq
// and hash must be those of a record of the log, and length and sha256 those of the
// payload.

// sealKind is the second word of a sealed file.
type sealKind string

const (
	sealCheckpoint sealKind = "checkpoint"
	sealIndex      sealKind = "index"
)

const (
	sealFormat = "1"
	// maxSeal bounds a seal; those written have about 250 bytes.
	maxSeal = 1 << 10
	// maxPayload bounds a payload: a state of ten million cells, or an index of 500
	// million records.
	maxPayload = 1 << 30
)

// errSealed says that a file is not what was sealed: it can be deleted.
var errSealed = errors.New("is not what was written")

// seal is what a sealed file says of itself.
type seal struct {
	head   events.Head // without At, which is the record's
	length int64
	digest events.Hash
}

func formatSeal(kind sealKind, s seal) []byte {
	return fmt.Appendf(nil, "abeyance %s %s\nlog %s\nseq %d\nhash %s\nlength %d\nsha256 %s\n\n",
		kind, sealFormat, s.head.Log, s.head.Seq, s.head.Hash, s.length, s.digest)
}

// parseSeal reads what formatSeal writes, and nothing else, at the beginning of text.
// It returns its length, too.
func parseSeal(kind sealKind, text []byte) (s seal, n int, err error) {
	before, _, found := bytes.Cut(text, []byte("\n\n"))
	if v, ok := strings.CutPrefix(string(before), "abeyance "+string(kind)+" "); ok && found {
		if format, _, _ := strings.Cut(v, "\n"); format != sealFormat {
			return s, 0, &events.FormatError{What: fmt.Sprintf("format %q of the %s file", format, kind)}
		}
	}
	lines := strings.Split(string(before), "\n")
	values := make(map[string]string, len(lines))
	for _, line := range lines[1:] {
		key, value, _ := strings.Cut(line, " ")
		values[key] = value
	}
	seq, err1 := strconv.ParseUint(values["seq"], 10, 64)
	length, err2 := strconv.ParseInt(values["length"], 10, 64)
	s = seal{head: events.Head{Log: values["log"], Seq: events.Seq(seq)}, length: length}
	err3 := s.head.Hash.UnmarshalText([]byte(values["hash"]))
	err4 := s.digest.UnmarshalText([]byte(values["sha256"]))
	n = len(before) + len("\n\n")
	if !found || errors.Join(err1, err2, err3, err4) != nil || !bytes.Equal(text[:n], formatSeal(kind, s)) {
		return seal{}, 0, errSealed
	}
	return s, n, nil
}

// writeSealed replaces the file NAME: after a crash the old one is there or the new.
// Its directory must exist.
func writeSealed(root *os.Root, name string, kind sealKind, head events.Head, payload []byte) (err error) {
	if len(payload) > maxPayload {
		return fmt.Errorf("the %s has %d bytes; the most are %d", kind, len(payload), maxPayload)
	}
	temp := name + suffix
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	s := seal{head: head, length: int64(len(payload)), digest: sha256.Sum256(payload)}
	_, err = f.Write(formatSeal(kind, s))
	if err == nil {
		_, err = f.Write(payload)
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, root.Remove(temp))
	}
	if err := root.Rename(temp, name); err != nil {
		return err
	}
	return syncIn(root, path.Dir(name))
}

// syncIn makes renames in a directory below root durable.
func syncIn(root *os.Root, dir string) error {
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return syncDir(d)
}

// readSeal opens a sealed file and reads its seal; the payload comes next. The
// length of the payload is that of the rest of the file, and within bounds.
func readSeal(root *os.Root, name string, kind sealKind) (*os.File, seal, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, seal{}, err
	}
	if !info.Mode().IsRegular() {
		return nil, seal{}, fmt.Errorf("%w: it is no regular file", errSealed)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, seal{}, err
	}
	s, err := sealOf(f, kind)
	if err != nil {
		f.Close()
		return nil, seal{}, err
	}
	return f, s, nil
}

func sealOf(f *os.File, kind sealKind) (seal, error) {
	info, err := f.Stat()
	if err != nil {
		return seal{}, err
	}
	text := make([]byte, min(maxSeal, info.Size()))
	if _, err := io.ReadFull(f, text); err != nil {
		return seal{}, err
	}
	s, n, err := parseSeal(kind, text)
	if err != nil {
		return seal{}, err
	}
	if rest := info.Size() - int64(n); s.length != rest || rest > maxPayload {
		return seal{}, fmt.Errorf("%w: %d bytes follow the seal, which says %d", errSealed, rest, s.length)
	}
	_, err = f.Seek(int64(n), io.SeekStart)
	return s, err
}

// readSealed reads a sealed file whole and checks it as far as it goes without the
// log: whether its head is one of the log's is for the caller to see.
func readSealed(root *os.Root, name string, kind sealKind) (events.Head, []byte, error) {
	f, s, err := readSeal(root, name, kind)
	if err != nil {
		return events.Head{}, nil, err
	}
	defer f.Close()
	payload := make([]byte, s.length)
	if _, err := io.ReadFull(f, payload); err != nil {
		return events.Head{}, nil, err
	}
	if sha256.Sum256(payload) != s.digest {
		return events.Head{}, nil, fmt.Errorf("%w: its digest is another", errSealed)
	}
	return s.head, payload, nil
}
