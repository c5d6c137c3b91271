package main

import "github.com/spf13/cobra"

func newCompletionCommand(env *environment) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a completion script for a shell",
		Long: `Print a completion script. It completes commands and flags, and asks the daemon for
accounts, targets, groups, providers, models and tokens: for half a second at most, and
in silence if there is none.`,
		Example: `  source <(abeyance completion bash)
  abeyance completion zsh > _abeyance`,
		ValidArgs: shells,
		Args:      arguments(1, 1, "one shell: bash, zsh, fish or powershell"),
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(env.out, true)
			case "zsh":
				return root.GenZshCompletion(env.out)
			case "fish":
				return root.GenFishCompletion(env.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(env.out)
			}
			return usage("there is no completion for %q: the shells are bash, zsh, fish and powershell%s", args[0], didYouMean(args[0], shells))
		},
	}
}
