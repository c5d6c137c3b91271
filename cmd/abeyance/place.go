package main

import "cmp"

// place says which daemon a command line means, and by what.
type place struct {
	context string // its name; empty: none is meant
	by      string // what named the daemon: flags, the environment, or the current context
	sought  bool   // the file of contexts was asked
}

// What can name the daemon, in the order in which it counts.
const (
	byFlag        = "a flag"
	byEnvironment = "the environment"
	byCurrent     = "'abeyance context use'"
)

// settlePlace settles which daemon is meant, as far as flags and environment say: the
// first of them that names one decides alone. So a flag for one daemon is never mixed
// with a variable for another, nor a token shown to a daemon it was not made for.
func (env *environment) settlePlace() error {
	env.place = place{}
	env.contextsFile = cmp.Or(env.contextsFile, env.getenv(envContextsFile))
	url, dataDir, token := env.getenv(envURL), env.getenv(envDataDir), env.getenv(envTokenFile)
	switch name := env.getenv(envContext); {
	case env.context != "" && (env.url != "" || env.dataDir != ""):
		return usage("--context names a daemon, and so does --url or --data-dir: give one of them")
	case env.context != "":
		env.place = place{by: byFlag, context: env.context}
	case env.url != "":
		env.place, env.tokenFile = place{by: byFlag}, cmp.Or(env.tokenFile, token)
		return nil
	case env.dataDir != "":
		env.place = place{by: byFlag}
		if url == "" { // else it belongs to that
			env.tokenFile = cmp.Or(env.tokenFile, token)
		}
		return nil
	case url != "":
		env.place, env.url, env.tokenFile = place{by: byEnvironment}, url, cmp.Or(env.tokenFile, token)
	case name != "":
		env.place = place{by: byEnvironment, context: name}
	case dataDir != "":
		env.place, env.tokenFile = place{by: byEnvironment}, cmp.Or(env.tokenFile, token)
	}
	env.dataDir = dataDir // also of what is to be made there: restore asks no daemon
	return nil
}

// locate completes that from the file of contexts, for commands that ask a daemon: the
// others do without one that is damaged.
func (env *environment) locate() error {
	if env.place.sought || env.place.by != "" && env.place.context == "" {
		return nil
	}
	all, err := env.readContexts()
	if err != nil {
		return err
	}
	if env.place.by == "" {
		if all.Current == "" {
			return nil
		}
		env.place = place{context: all.Current, by: byCurrent}
	}
	one, err := all.find(env.place.context)
	if err != nil {
		return err
	}
	env.place.sought = true
	env.url, env.dataDir, env.tokenFile = one.URL, one.DataDir, cmp.Or(env.tokenFile, one.TokenFile)
	return nil
}
