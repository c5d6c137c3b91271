package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionInfo says what was built, from what and with what.
type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"` // of the revision
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// buildInfo reads what the toolchain stamped into the binary.
func buildInfo() versionInfo {
	v := versionInfo{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = cmp.Or(info.Main.Version, v.Version)
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func newVersionCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this binary",
		Example: "  abeyance version",
		Args:    arguments(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			v := buildInfo()
			return env.print(v, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "abeyance %s %s %s\n", v.Version, v.Go, v.Platform)
				if v.Revision != "" && err == nil {
					_, err = fmt.Fprintf(w, "revision %s of %s, modified %t\n", v.Revision, v.Time, v.Modified)
				}
				return err
			})
		},
	}
}
