package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// variablePrefix begins the names of the environment variables that are ours.
const variablePrefix = "ABEYANCE_"

// settingFlag annotates flags that are settings of the daemon, whichever command they
// are given to.
const settingFlag = "abeyance_setting"

// markSetting makes a flag's variable that of the setting, without a command in it.
func markSetting(f *pflag.Flag) {
	f.Annotations = map[string][]string{settingFlag: nil}
}

// variableOf returns the environment variable that stands in for a flag: ABEYANCE_LISTEN
// for --listen. Only flags that all commands share and settings of the daemon are named
// so. Those of one command have its name before theirs, as ABEYANCE_CLEAR_ACCOUNT: a
// variable that is meant for one command must not change what another one touches.
func variableOf(cmd *cobra.Command, f *pflag.Flag) string {
	words := []string{f.Name}
	_, setting := f.Annotations[settingFlag]
	if !setting && cmd.Root().PersistentFlags().Lookup(f.Name) != f {
		words = append(strings.Fields(cmd.CommandPath())[1:], f.Name)
	}
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(strings.Join(words, "_"), "-", "_"))
}

// flagsOf lists the flags that a command takes. That for its help is none to be set.
func flagsOf(cmd *cobra.Command) (list []*pflag.Flag) {
	add := func(f *pflag.Flag) {
		if f.Name != "help" {
			list = append(list, f)
		}
	}
	cmd.LocalFlags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	return list
}

// showVariables adds to the help of flags what their variables are. For those of single
// commands the rule must do.
func showVariables(root *cobra.Command) {
	seen := map[*pflag.Flag]bool{}
	for cmd := range tree(root) {
		for _, f := range flagsOf(cmd) {
			_, setting := f.Annotations[settingFlag]
			if (setting || cmd == root) && !seen[f] {
				seen[f] = true
				f.Usage += " (" + variableOf(cmd, f) + ")"
			}
		}
	}
}

// placing reports whether a flag says which daemon is meant. Their variables are not set
// one by one: settle weighs them against the flags.
func placing(flag string) bool {
	return slices.Contains([]string{"data-dir", "url", "token-file", "context", "contexts-file"}, flag)
}

// takeVariables sets the flags that were not given from the environment. A variable that
// is empty counts as not set.
func (env *environment) takeVariables(cmd *cobra.Command) error {
	for _, f := range flagsOf(cmd) {
		name := variableOf(cmd, f)
		value := env.getenv(name)
		if f.Changed || value == "" {
			continue
		}
		if env.variables == nil {
			env.variables = map[string]string{}
		}
		env.variables[f.Name] = name
		if placing(f.Name) {
			continue
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			return usage("%s: %v", name, err)
		}
	}
	return nil
}

// fromVariables says of the flags that an error names which were set by variables: who
// reads it may not have given any.
func (env *environment) fromVariables(err error) (lines []string) {
	for _, flag := range slices.Sorted(maps.Keys(env.variables)) {
		if namesFlag(err.Error(), flag) && !strings.Contains(err.Error(), env.variables[flag]) {
			lines = append(lines, fmt.Sprintf("--%s is set by %s", flag, env.variables[flag]))
		}
	}
	return lines
}

func namesFlag(message, flag string) bool {
	for rest := message; ; {
		_, after, found := strings.Cut(rest, "--"+flag)
		if !found {
			return false
		}
		if after == "" || !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz-", rune(after[0])) {
			return true
		}
		rest = after
	}
}

// logsVariables reports whether a command warns of variables in its own log: that of
// serve may be one of JSON.
func logsVariables(cmd *cobra.Command) bool { return cmd.Name() == "serve" }

// unknownVariables says which variables look like ours and set nothing: most often they
// are misspelt. Asked again it says nothing more.
func (env *environment) unknownVariables(root *cobra.Command) (warnings []string) {
	if env.environ == nil || env.warned {
		return nil
	}
	env.warned = true
	var known []string
	for _, entry := range env.environ() {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, variablePrefix) || isServiceVariable(name) {
			continue
		}
		if known == nil {
			known = allVariables(root)
		}
		if slices.Contains(known, name) {
			continue
		}
		warning := fmt.Sprintf("the environment variable %s is unknown, and sets nothing", name)
		if near := nearestVariable(name, known); near != "" {
			warning = fmt.Sprintf("the environment variable %s is unknown; did you mean %s?", name, near)
		}
		warnings = append(warnings, warning)
	}
	return warnings
}

// withoutVariables returns the environment without the variables that are ours: for a
// process that is not to have this one's settings.
func (env *environment) withoutVariables() []string {
	if env.environ == nil {
		return []string{}
	}
	return slices.DeleteFunc(env.environ(), func(entry string) bool { return strings.HasPrefix(entry, variablePrefix) })
}

// isServiceVariable tells the variables that Kubernetes sets in every container of a
// namespace that has a service with the name abeyance.
func isServiceVariable(name string) bool {
	rest := strings.TrimPrefix(name, variablePrefix)
	return rest == "PORT" || strings.HasPrefix(rest, "PORT_") || strings.HasPrefix(rest, "SERVICE_")
}

// allVariables lists the variables of every flag of every command.
func allVariables(root *cobra.Command) []string {
	var names []string
	for cmd := range tree(root) {
		for _, f := range flagsOf(cmd) {
			names = append(names, variableOf(cmd, f))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// tree yields a command and all below it.
func tree(cmd *cobra.Command) func(yield func(*cobra.Command) bool) {
	return func(yield func(*cobra.Command) bool) {
		if !yield(cmd) {
			return
		}
		for _, c := range cmd.Commands() {
			for d := range tree(c) {
				if !yield(d) {
					return
				}
			}
		}
	}
}

// nearestVariable returns the name that a misspelt one was most likely meant to be, or an empty
// one.
func nearestVariable(name string, names []string) string {
	best := slices.MinFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(distance(name, a), distance(name, b)), strings.Compare(a, b))
	})
	if distance(name, best) > 3 {
		return ""
	}
	return best
}

// distance is how many letters must be put in, taken out or changed to make one text the
// other.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
