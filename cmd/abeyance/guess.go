package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
)

// guess returns what a command line may have meant by the name that the daemon does not
// know, as the end of a message; empty if nothing is near, or if the daemon does not say
// what there is.
func (env *environment) guess(ctx context.Context, cmd *cobra.Command, err error) string {
	p, ok := errors.AsType[*problemError](err)
	if !ok || cmd == nil || ctx.Err() != nil {
		return ""
	}
	var written []string
	var s source
	switch p.Code {
	case api.Code(projection.CodeUnknownAccount):
		s, written = knownAccounts, writtenAs(cmd, "ACCOUNT", "account", "candidate", "exclude")
	case api.Code(projection.CodeUnknownTarget):
		s, written = knownGroups, writtenAs(cmd, "TARGET", "target")
	case api.Code(router.BlockNoAccounts):
		s, written = knownProviders, writtenAs(cmd, "PROVIDER", "provider")
	case api.CodeUnknownToken:
		s, written = knownTokens, writtenAs(cmd, "NAME")
	}
	if len(written) == 0 {
		return ""
	}
	var known []string
	for _, w := range env.within(ctx, guessPatience, s, typed{}) {
		known = append(known, w.text)
	}
	for _, w := range written {
		if text := didYouMean(w, known); text != "" {
			return text
		}
	}
	return ""
}

// guessPatience is how long an error may wait for what it could advise.
const guessPatience = 2 * completionPatience

// writtenAs returns the words of a command line that stand in a place of the usage line,
// or behind one of some flags.
func writtenAs(cmd *cobra.Command, place string, flags ...string) (list []string) {
	places := placesOf(cmd)
	for i, arg := range cmd.Flags().Args() {
		if i < len(places) && places[i] == place {
			list = append(list, arg)
		}
	}
	for _, name := range flags {
		f := cmd.Flags().Lookup(name)
		if f == nil || !f.Changed {
			continue
		}
		if many, ok := f.Value.(pflag.SliceValue); ok {
			list = append(list, many.GetSlice()...)
		} else {
			list = append(list, f.Value.String())
		}
	}
	return list
}

// guessFlag returns what an unknown flag may have been meant for.
func guessFlag(cmd *cobra.Command, err error) string {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return ""
	}
	written := "--" + unknown.GetSpecifiedName()
	if letters := unknown.GetSpecifiedShortnames(); len(letters) > 1 {
		written = "-" + letters // -cells: most likely a dash is missing
	}
	var flags []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { flags = append(flags, "--"+f.Name) })
	return didYouMean(written, flags)
}
