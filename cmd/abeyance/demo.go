package main

import (
	"cmp"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/cmd/abeyance/internal/demo"
)

// newDemoCommand plays what Abeyance does, on this machine alone.
func newDemoCommand(env *environment) *cobra.Command {
	var serve bool
	var listen string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show what Abeyance does, with a fake provider on this machine",
		Long: "Demo plays acts against a fake provider on a loopback address: a 429 that freezes a family of\n" +
			"models, a shortage that blocks one model, a suspension that survives a bulk clear, a daemon that is\n" +
			"killed, quotas that come back days early, and real traffic beside today's per-model cooldowns. It exits\n" +
			"with 1 if an act does not hold, and leaves nothing behind.",
		Example: "  abeyance demo",
		Args:    arguments(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkListen(listen); err != nil {
				return usage("--listen: %v", err)
			}
			if api.CheckBind(listen, false, false) != nil {
				return usage("--listen %q: the demo is served on this machine only, such as on %s", listen, defaultListen)
			}
			program, err := os.Executable()
			if err != nil {
				return fmt.Errorf("finding the program's own file, which the demo starts as a daemon: %w", err)
			}
			dir, err := os.MkdirTemp("", "abeyance-demo-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			if err := demo.Run(c.Context(), demo.Options{Out: env.out, Program: program, Dir: dir, Environ: env.withoutVariables()}); err != nil {
				// An act that is cut off fails in many ways; none of them is news.
				return cmp.Or(c.Context().Err(), err)
			}
			if !serve {
				return nil
			}
			env.say("\nserving the demo's pool until Ctrl-C; its data is removed afterwards")
			served := *env
			served.dataDir, served.variables, served.environ = "", nil, nil
			served.getenv = func(name string) string {
				if strings.HasPrefix(name, variablePrefix) {
					return "" // settings of another daemon
				}
				return env.getenv(name)
			}
			if code := served.run(c.Context(), []string{"serve", "--data-dir", demo.PoolDir(dir), "--listen", listen}); code != exitOK {
				return &exitError{code: code}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&serve, "serve", false, "keep a daemon up on the demo's pool until Ctrl-C")
	c.Flags().StringVar(&listen, "listen", defaultListen, "address of that daemon")
	return c
}
