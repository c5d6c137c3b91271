//go:build !cgo

package main

import (
	"fmt"
	"os"
)

// Without a C compiler there is no library to build, and this says so.
func main() {
	fmt.Fprintln(os.Stderr, "abeyance-cliproxy is a library for CLIProxyAPI: build it with CGO_ENABLED=1 go build -buildmode=c-shared, with a C compiler")
	os.Exit(2)
}
