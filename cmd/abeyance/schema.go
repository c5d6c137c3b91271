package main

import (
	_ "embed"

	"github.com/spf13/cobra"
)

// configSchema is the JSON schema of the configuration file. A test makes it from the
// types that the file is read into and from the comments of abeyance.example.yaml, and
// fails while it differs: go test ./cmd/abeyance -run Schema -update writes it.
//
//go:embed abeyance.schema.json
var configSchema []byte

func newConfigSchemaCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON schema of the configuration file, for editors",
		Long: `Print the JSON schema of the configuration file. Editors that know it complete keys, show
what they mean and underline mistakes. With the YAML language server, as in VS Code, it is
named in the file's first line:

  # yaml-language-server: $schema=abeyance.schema.json`,
		Example: "  abeyance config schema > abeyance.schema.json",
		Args:    arguments(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			_, err := env.out.Write(configSchema)
			return err
		},
	}
}
