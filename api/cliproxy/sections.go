package cliproxy

import (
	"bytes"
	"strings"
)

// section is a list under a key at the beginning of a line, as its lines.
type section struct {
	name string
	line int    // of the key
	rest string // what follows the key on its line
	body [][]byte
}

// line is a line of the body, counted in the file.
func (s *section) at(i int) int { return s.line + 1 + i }

// findSections returns the sections of a YAML document that have one of the names.
func findSections(doc []byte, names ...string) (map[string]*section, error) {
	f := &finder{names: names, found: map[string]*section{}}
	n := 0
	for line := range bytes.Lines(doc) {
		n++
		if err := f.line(n, bytes.TrimRight(line, "\r\n")); err != nil {
			return nil, err
		}
	}
	return f.found, nil
}

// finder goes through a document line by line.
type finder struct {
	names []string
	found map[string]*section
	open  *section // the one that lines belong to; nil: none that is wanted
	begun bool     // the document
	ended bool
}

func (f *finder) line(n int, line []byte) error {
	switch {
	case blank(line):
		f.add(line)
		return nil
	case marks(line, "---") && (f.begun || f.ended):
		return wrong(n, "a second document begins here, and a config.yaml is one")
	case marks(line, "---"):
		return nil
	case marks(line, "..."):
		f.open, f.ended = nil, true
		return nil
	case f.ended:
		return wrong(n, "text follows the end of the document")
	}
	f.begun = true
	if continues(line) {
		f.add(line)
		return nil
	}
	return f.key(n, line)
}

// add adds a line to the section that is open.
func (f *finder) add(line []byte) {
	if f.open != nil {
		f.open.body = append(f.open.body, line)
	}
}

// key looks at a line with a key at its beginning.
func (f *finder) key(n int, line []byte) error {
	f.open = nil
	name, rest, ok := keyOf(line, f.names)
	if !ok {
		return nil
	}
	if other := f.found[name]; other != nil {
		return wrong(n, "%s is given twice, the first time in line %d", name, other.line)
	}
	f.open = &section{name: name, line: n, rest: rest}
	f.found[name] = f.open
	return nil
}

// blank reports whether a line holds nothing, or a comment.
func blank(line []byte) bool {
	line = bytes.TrimLeft(line, " \t")
	return len(line) == 0 || line[0] == '#'
}

// marks reports whether a line is a mark between documents.
func marks(line []byte, mark string) bool {
	rest, ok := bytes.CutPrefix(line, []byte(mark))
	return ok && (len(rest) == 0 || rest[0] == ' ' || rest[0] == '\t')
}

// continues reports whether a line belongs to the key above it: it is indented, or an
// item of a list or the end of one, which need not be.
func continues(line []byte) bool {
	return strings.IndexByte(" \t]}", line[0]) >= 0 || line[0] == '-' && (len(line) == 1 || line[1] == ' ' || line[1] == '\t')
}

// keyOf returns the one of the names that a line has as its key, and what follows.
func keyOf(line []byte, names []string) (name, rest string, ok bool) {
	for _, name := range names {
		for _, key := range []string{name, `"` + name + `"`, "'" + name + "'"} {
			after, ok := strings.CutPrefix(string(line), key)
			if !ok {
				continue
			}
			after, ok = strings.CutPrefix(strings.TrimLeft(after, " \t"), ":")
			if ok && (after == "" || after[0] == ' ' || after[0] == '\t') {
				return name, uncomment(after), true
			}
		}
	}
	return "", "", false
}

// uncomment takes a comment off what follows a key.
func uncomment(s string) string {
	if i := strings.Index(s, " #"); i >= 0 {
		s = s[:i]
	}
	return strings.TrimSpace(s)
}

// item is one element of a section's list, as text.
type item struct {
	line int
	text []byte
}

// items takes a section's list apart. A list that does not stand below its key, one item
// from each dash on, is one text.
func (s *section) items() (list []item, whole *item, err error) {
	if s.rest != "" {
		text := append([]byte(s.rest+"\n"), bytes.Join(s.body, []byte("\n"))...)
		return nil, &item{s.line, append(text, '\n')}, nil
	}
	indent := -1
	for i, line := range s.body {
		if blank(line) && len(list) == 0 {
			continue
		}
		depth := len(line) - len(bytes.TrimLeft(line, " "))
		dash := depth < len(line) && line[depth] == '-' && continues(line[depth:])
		switch {
		case !blank(line) && indent < 0 && !dash:
			return nil, nil, wrong(s.at(i), "%s must be a list", s.name)
		case dash && (indent < 0 || depth == indent):
			indent = depth
			list = append(list, item{line: s.at(i)})
		case !blank(line) && depth <= indent:
			return nil, nil, wrong(s.at(i), "this line of %s belongs to no item of the list", s.name)
		}
		last := &list[len(list)-1]
		last.text = append(append(last.text, line...), '\n')
	}
	return list, nil, nil
}
