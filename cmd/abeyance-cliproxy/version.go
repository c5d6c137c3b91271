//go:build cgo

package main

import (
	"runtime/debug"
	"strings"
)

// release is the version of a release, set by its build script: hosts refuse plugins
// without one, and what the go command knows of a working copy is no version of theirs.
var release = "0.0.0-dev"

// version is what the host shows.
func version() string {
	if release != "0.0.0-dev" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && strings.HasPrefix(info.Main.Version, "v") {
		return strings.TrimPrefix(info.Main.Version, "v")
	}
	return release
}
