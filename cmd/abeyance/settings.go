package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v4"

	"github.com/abeyance/abeyance/api"
)

// The forms of the daemon's log.
const (
	logText = "text"
	logJSON = "json"
)

// defaultListen is where the daemon listens unless told otherwise: loopback only.
const defaultListen = "127.0.0.1:8417"

// Origins that are neither a place in a file, nor a variable, nor a flag.
const (
	originDefault = "default"
	originLog     = "the log" // it owns what the file does not define
)

// settings are the daemon's, complete: flags over environment over file over
// defaults.
type settings struct {
	Listen      string
	DataDir     string
	ObserveOnly bool
	Cert, Key   string
	LogFormat   string
	LogLevel    string
	LogAccess   bool
	PerAccount  bool // metrics of each account
	Insecure    bool
	AcceptLoss  bool // of this run alone: never from a file
	network     networkSettings

	file    *parsedConfig // never nil
	origins map[string]string
	// variables :: flag → the environment variable that set it
	variables map[string]string
}

// serveFlags are the flags of serve, config show and config check. Their defaults are not the
// settings' defaults: a flag counts only when it is given.
type serveFlags struct {
	config      string
	listen      string
	observeOnly bool
	cert, key   string
	logFormat   string
	logLevel    string
	logAccess   bool
	perAccount  bool
	insecure    bool
	acceptLoss  bool
	network     networkFlags
}

// insecureFlag is long on purpose: it is to be read before it is typed.
const insecureFlag = "insecure-plain-http"

func (f *serveFlags) add(to *pflag.FlagSet) {
	to.StringVar(&f.config, "config", "", "configuration `file`, read anew when it changes and on SIGHUP; see abeyance.example.yaml")
	markSetting(to.Lookup("config"))
	f.addOthers(to)
}

// addOthers adds the flags but the one that names the file.
func (f *serveFlags) addOthers(to *pflag.FlagSet) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.StringVar(&f.listen, "listen", "", "`address` to listen on, or unix:/path; port 0 takes a free one (default "+defaultListen+")")
	flags.BoolVar(&f.observeOnly, "observe-only", false, "decide and record everything, but block no pick")
	flags.StringVar(&f.cert, "tls-cert", "", "PEM `file` with the certificate chain")
	flags.StringVar(&f.key, "tls-key", "", "PEM `file` with the private key")
	flags.StringVar(&f.logFormat, "log-format", "", "`form` of the log on stderr: text or json (default "+logText+")")
	flags.StringVar(&f.logLevel, "log-level", "", "least `level` that is logged: "+strings.Join(logLevels(), ", ")+" (default "+logInfo+")")
	flags.BoolVar(&f.logAccess, "log-access", false, "log every request")
	flags.BoolVar(&f.perAccount, "metrics-per-account", false, "add metrics of each configured account, by its stored id")
	flags.BoolVar(&f.acceptLoss, "accept-loss", false, "go on with a log that lacks records it is known to have held, and record that")
	flags.BoolVar(&f.insecure, insecureFlag, false, "listen beyond loopback without TLS: tokens cross the network readable")
	f.network.add(flags)
	flags.VisitAll(markSetting)
	to.AddFlagSet(flags)
}

// resolve completes the settings.
func (f *serveFlags) resolve(env *environment, cmd *cobra.Command) (*settings, error) {
	s := &settings{file: &parsedConfig{}, origins: map[string]string{}, Insecure: f.insecure, AcceptLoss: f.acceptLoss}
	if f.config != "" {
		var err error
		if s.file, err = loadConfig(f.config); err != nil {
			return nil, &exitError{exitUsage, err}
		}
	}
	file, given := &s.file.file, func(flag string) bool { return cmd.Flags().Changed(flag) || env.variables[flag] != "" }
	s.variables = env.variables
	tls, log := cmp.Or(file.TLS, &tlsConfig{}), cmp.Or(file.Log, &logConfig{})
	choose(s, given, choice[string]{key: "listen", to: &s.Listen, base: defaultListen, file: file.Listen, flag: "listen", value: f.listen})
	choose(s, given, choice[string]{key: "data_dir", to: &s.DataDir, file: file.DataDir, flag: "data-dir", value: env.dataDir})
	choose(s, given, choice[bool]{key: "observe_only", to: &s.ObserveOnly, file: file.ObserveOnly, flag: "observe-only", value: f.observeOnly})
	choose(s, given, choice[string]{key: "tls.cert", to: &s.Cert, file: tls.Cert, flag: "tls-cert", value: f.cert})
	choose(s, given, choice[string]{key: "tls.key", to: &s.Key, file: tls.Key, flag: "tls-key", value: f.key})
	choose(s, given, choice[string]{key: "log.format", to: &s.LogFormat, base: logText, file: log.Format, flag: "log-format", value: f.logFormat})
	choose(s, given, choice[string]{key: "log.level", to: &s.LogLevel, base: logInfo, file: log.Level, flag: "log-level", value: f.logLevel})
	choose(s, given, choice[bool]{key: "log.access", to: &s.LogAccess, file: log.Access, flag: "log-access", value: f.logAccess})
	metrics := cmp.Or(file.Metrics, &metricsConfig{})
	choose(s, given, choice[bool]{key: "metrics.per_account", to: &s.PerAccount, file: metrics.PerAccount, flag: "metrics-per-account", value: f.perAccount})
	if err := checkListen(s.Listen); err != nil {
		return nil, usage("--listen: %v", err)
	}
	if err := checkLogFormat(s.LogFormat); err != nil {
		return nil, usage("--log-format: %v%s", err, didYouMean(s.LogFormat, []string{logText, logJSON}))
	}
	if err := checkLogLevel(s.LogLevel); err != nil {
		return nil, usage("--log-level: %v", err)
	}
	if (s.Cert == "") != (s.Key == "") {
		return nil, usage("--tls-cert and --tls-key belong together")
	}
	if _, socket := api.SocketPath(s.Listen); socket && s.Cert != "" {
		return nil, usage("TLS is of no use on a unix socket: leave --tls-cert and --tls-key out")
	}
	return s, f.network.resolve(s, given)
}

// checkBind refuses to listen beyond this machine without TLS, unless that is asked for.
func (s *settings) checkBind() error {
	err := api.CheckBind(s.Listen, s.Cert != "", s.Insecure)
	if err == nil {
		return nil
	}
	if at := s.file.origin("listen"); s.origins["listen"] == at && at != originDefault {
		err = fmt.Errorf("%s: %w", at, err)
	}
	return usage("%v with --tls-cert and --tls-key, or say --%s", err, insecureFlag)
}

// choice is one setting and where its value may come from.
type choice[T comparable] struct {
	key   string // in the file, dotted
	to    *T
	base  T      // the default
	file  *T     // nil: the file does not say
	flag  string // its name
	value T      // the flag's, if it was given, or set from the environment
}

// choose sets one setting and notes its origin.
func choose[T comparable](s *settings, given func(flag string) bool, c choice[T]) {
	*c.to, s.origins[c.key] = c.base, originDefault
	if c.file != nil {
		*c.to, s.origins[c.key] = *c.file, s.file.origin(strings.Split(c.key, ".")...)
	}
	if given(c.flag) {
		*c.to, s.origins[c.key] = c.value, s.givenBy(c.flag)
	}
}

// givenBy says where the value of a flag comes from: itself, or a variable.
func (s *settings) givenBy(flag string) string {
	if variable := s.variables[flag]; variable != "" {
		return "environment " + variable
	}
	return "flag --" + flag
}

// origin says where the file states a path: "FILE:LINE", or that it is the default.
func (p *parsedConfig) origin(path ...string) string {
	n, found := p.find(path...)
	// A scalar above the path says it for all that is below: bound: 5m.
	if n != nil && (found == len(path) || found > 0 && n.Kind == yaml.ScalarNode) {
		return fmt.Sprintf("%s:%d", p.name, n.Line)
	}
	return originDefault
}
