package main

import (
	"context"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
)

// completionPatience is how long a shell waits for the words of a daemon: somebody has
// pressed a key and looks at the cursor.
const completionPatience = 400 * time.Millisecond

// wordsOfFlag returns what a flag takes, by its name: one name means one thing, whatever
// the command. nil: a text of which nothing is known, or a file.
func wordsOfFlag(name string) source {
	return map[string]source{
		"account":    knownAccounts,
		"candidate":  knownAccounts,
		"exclude":    knownAccounts,
		"provider":   knownProviders,
		"target":     knownTargets,
		"model":      knownModels,
		"actor":      knownActors,
		"context":    knownContexts,
		"kind":       fixed(events.Kinds()...),
		"class":      fixed(events.Classes()...),
		"status":     fixed(projection.Statuses()...),
		"order":      fixed(newestFirst, oldestFirst),
		"by":         fixed(episodeSums...),
		"output":     fixed(outputs()...),
		"scope":      fixed(api.Scopes()...),
		"strategy":   fixed(router.AllStrategies()...),
		"operation":  fixed(events.Operations()...),
		"log-format": fixed(logText, logJSON),
		"log-level":  fixed(logLevels()...),
	}[name]
}

// isFileFlag reports whether a flag takes the name of a file, which the shell completes.
func isFileFlag(name string) bool {
	switch name {
	case "file", "body-file", "config", "policy", "groups", "token-file", "contexts-file", "tls-cert", "tls-key":
		return true
	}
	return false
}

// placesOf returns what the arguments of a command are, as its usage line names them.
func placesOf(cmd *cobra.Command) []string {
	usage, _, _ := strings.Cut(strings.TrimPrefix(cmd.Use, cmd.Name()), "|")
	return strings.FieldsFunc(usage, func(r rune) bool { return strings.ContainsRune(" []", r) })
}

// wordsOfArgument returns what the i-th argument of a command is, and whether that is a
// file. The last place of a usage line repeats if it has dots.
func wordsOfArgument(cmd *cobra.Command, i int) (s source, file bool) {
	places := placesOf(cmd)
	if n := len(places); n > 0 && strings.HasSuffix(places[n-1], "...") {
		i = min(i, n-1)
	}
	if i >= len(places) {
		return nil, false
	}
	switch strings.TrimSuffix(places[i], "...") {
	case "ACCOUNT":
		return knownAccounts, false
	case "TARGET":
		return knownTargets, false
	case "NAME":
		return wordsOfName(cmd), false
	case "FILE":
		return nil, true
	}
	return nil, false
}

// wordsOfName returns what a NAME is the name of; nil if the command makes it.
func wordsOfName(cmd *cobra.Command) source {
	if cmd.Name() == "create" || !cmd.HasParent() {
		return nil
	}
	return map[string]source{"token": knownTokens, "context": knownContexts}[cmd.Parent().Name()]
}

// completed teaches a tree of commands to complete what they take.
func completed(env *environment, root *cobra.Command) {
	_ = root.MarkPersistentFlagDirname("data-dir") // it fails only for a flag that is not there
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { env.completeFlag(root, f) })
	var each func(*cobra.Command)
	each = func(cmd *cobra.Command) {
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) { env.completeFlag(cmd, f) })
		if cmd.ValidArgsFunction == nil && len(cmd.ValidArgs) == 0 {
			cmd.ValidArgsFunction = env.completeArgument
		}
		for _, child := range cmd.Commands() {
			each(child)
		}
	}
	each(root)
}

// completeFlag registers what a flag takes, unless its command has done so.
func (env *environment) completeFlag(cmd *cobra.Command, f *pflag.Flag) {
	kind := f.Value.Type()
	if _, done := cmd.GetFlagCompletionFunc(f.Name); done || !strings.HasPrefix(kind, "string") || isFileFlag(f.Name) || f.Name == "data-dir" {
		return
	}
	complete := cobra.NoFileCompletions
	if s := wordsOfFlag(f.Name); s != nil {
		complete = env.completeFrom(s, kind == "stringSlice")
	}
	_ = cmd.RegisterFlagCompletionFunc(f.Name, complete) // it fails only for a flag that is not there
}

// completeFrom completes the value of a flag. Of a list the last item is completed.
func (env *environment) completeFrom(s source, list bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, starts string) ([]string, cobra.ShellCompDirective) {
		before := ""
		if i := strings.LastIndexByte(starts, ','); list && i >= 0 {
			before, starts = starts[:i+1], starts[i+1:]
		}
		words, directive := env.complete(cmd, args, s, starts)
		for i := range words {
			words[i] = before + words[i]
		}
		return words, directive
	}
}

// completeArgument completes the next argument of a command.
func (env *environment) completeArgument(cmd *cobra.Command, args []string, starts string) ([]string, cobra.ShellCompDirective) {
	s, file := wordsOfArgument(cmd, len(args))
	if file {
		return nil, cobra.ShellCompDirectiveDefault
	}
	if s == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return env.complete(cmd, args, s, starts)
}

// completeCommand completes the name of a command, for the help.
func completeCommand(cmd *cobra.Command, args []string, starts string) ([]string, cobra.ShellCompDirective) {
	var list []string
	if found, rest, err := cmd.Root().Find(args); err == nil && len(rest) == 0 {
		for _, c := range found.Commands() {
			if c.IsAvailableCommand() && strings.HasPrefix(c.Name(), starts) {
				list = append(list, cobra.CompletionWithDesc(c.Name(), c.Short))
			}
		}
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

// complete returns the words that begin as what was typed. It says nothing, whatever
// goes wrong: a shell is no place for messages.
func (env *environment) complete(cmd *cobra.Command, args []string, s source, starts string) ([]string, cobra.ShellCompDirective) {
	// The flags were not read when the program began: until here they were arguments.
	if env.settlePlace() != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var list []string
	for _, w := range env.within(cmd.Context(), completionPatience, s, givenTo(cmd, args)) {
		if !strings.HasPrefix(w.text, starts) || !printable(w.text) {
			continue
		}
		if w.note != "" {
			w.text = cobra.CompletionWithDesc(w.text, plain(w.note))
		}
		list = append(list, w.text)
	}
	return list, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// within asks a source, and waits no longer than that for it, whatever it waits for: to
// look at the lock of a data directory cannot be called off.
func (env *environment) within(ctx context.Context, patience time.Duration, s source, g typed) []word {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer := make(chan []word, 1)
	go func() { answer <- s(ctx, env, g) }()
	select {
	case list := <-answer:
		return list
	case <-ctx.Done():
	}
	// What came until then comes now.
	select {
	case list := <-answer:
		return list
	case <-time.After(patience / 8):
		return nil
	}
}

// givenTo reads what the rest of a command line says about the word in question.
func givenTo(cmd *cobra.Command, args []string) typed {
	flag := func(name string) string {
		if f := cmd.Flags().Lookup(name); f != nil {
			return f.Value.String()
		}
		return ""
	}
	g := typed{verb: cmd.Name(), account: flag("account"), provider: flag("provider")}
	if places := placesOf(cmd); len(args) > 0 && len(places) > 0 && places[0] == "ACCOUNT" {
		g.account = args[0]
	}
	return g
}

// printable reports whether a word can stand on a command line as it is. A line of a
// completion is a word and its note.
func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) })
}
