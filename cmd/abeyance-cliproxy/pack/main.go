// Command pack makes a zip of files, all at its root, and lists the SHA-256 of every zip
// of a directory in checksums.txt there. The same files give the same bytes.
//
//	pack DIRECTORY NAME.zip FILE...
package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) < 3 {
		return errors.New("usage: pack DIRECTORY NAME.zip FILE, of which there may be several")
	}
	dir, name := args[0], args[1]
	doc, err := pack(args[2:])
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, name), doc, 0o644); err != nil {
		return err
	}
	sums, err := checksums(dir)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "checksums.txt"), sums, 0o644); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s: %d bytes\n", filepath.Join(dir, name), len(doc))
	return err
}

// pack returns a zip of files under their base names.
func pack(files []string) ([]byte, error) {
	var doc bytes.Buffer
	z := zip.NewWriter(&doc)
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		// No time: an archive says what it holds, not when it was made.
		h := &zip.FileHeader{Name: filepath.Base(name), Method: zip.Deflate}
		h.SetMode(0o644)
		if ext := filepath.Ext(name); ext == ".so" || ext == ".dylib" || ext == ".dll" {
			h.SetMode(0o755)
		}
		w, err := z.CreateHeader(h)
		if err == nil {
			_, err = w.Write(content)
		}
		if err != nil {
			return nil, err
		}
	}
	err := z.Close()
	return doc.Bytes(), err
}

// checksums returns a line for each zip of a directory, by name.
func checksums(dir string) ([]byte, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.zip"))
	if err != nil {
		return nil, err
	}
	var list []byte
	for _, name := range names {
		doc, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		list = fmt.Appendf(list, "%x  %s\n", sha256.Sum256(doc), filepath.Base(name))
	}
	return list, nil
}
