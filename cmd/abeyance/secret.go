package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
)

// maxSecret bounds a secret: the longest tokens of anybody have a few hundred bytes.
const maxSecret = 4 << 10

// readSecret returns the secret that a file holds: one word of printable ASCII, with or
// without a newline at its end. No flag, variable or key of the configuration takes a
// secret itself, which others could read in the list of processes or in a copy of the
// file: it names a file. One that everybody on this machine can read is refused; a group
// may, as the secrets of some orchestrators want it. what says in errors which file it is; what it holds never stands
// in one.
func readSecret(what, name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("the %s: %w", what, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o007 != 0 && runtime.GOOS != "windows" {
		return "", fmt.Errorf("the %s %s can be read by everybody on this machine (its mode is %04o): run chmod 600 on it",
			what, name, info.Mode().Perm())
	}
	doc, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("the %s: %w", what, err)
	}
	return oneSecret(what, name, doc)
}

// oneSecret returns the secret in what a file holds.
func oneSecret(what, name string, doc []byte) (string, error) {
	secret := strings.TrimSpace(string(doc))
	if secret == "" || len(doc) > maxSecret || strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("the %s %s does not hold one secret: a word of printable ASCII, at most %d bytes", what, name, maxSecret)
	}
	return secret, nil
}
