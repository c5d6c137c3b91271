package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
)

// configFile is what the daemon's configuration file may say. abeyance.example.yaml
// shows every key with its default.
type configFile struct {
	Listen      *string `yaml:"listen"`
	DataDir     *string `yaml:"data_dir"`
	ObserveOnly *bool   `yaml:"observe_only"`

	AllowedHosts          *[]string `yaml:"allowed_hosts"`
	TrustedProxies        *[]string `yaml:"trusted_proxies"`
	MaxConnectionsPerPeer *int      `yaml:"max_connections_per_peer"`
	MaxChangesPerSecond   *int      `yaml:"max_changes_per_second"`

	TLS     *tlsConfig     `yaml:"tls"`
	Log     *logConfig     `yaml:"log"`
	Metrics *metricsConfig `yaml:"metrics"`
	// Accounts, if the file has the key, are the whole configured pool.
	Accounts   *[]accountConfig `yaml:"accounts"`
	Strategies *strategyConfig  `yaml:"strategies"`
	// Bootstrap, Groups and Aliases are the fields of projection.GroupsConfig.
	Bootstrap *string                      `yaml:"bootstrap"`
	Groups    *[]projection.GroupConfig    `yaml:"groups"`
	Aliases   map[string]map[string]string `yaml:"aliases"`
	Policy    *projection.PolicyConfig     `yaml:"policy"`
	Webhooks  []webhookConfig              `yaml:"webhooks"`
}

type tlsConfig struct {
	Cert *string `yaml:"cert"`
	Key  *string `yaml:"key"`
}

type logConfig struct {
	Format *string `yaml:"format"`
	Level  *string `yaml:"level"`
	Access *bool   `yaml:"access"`
}

type metricsConfig struct {
	PerAccount *bool `yaml:"per_account"`
}

// accountConfig is one account of the pool. What is omitted has its default; a
// weight of 0 means 1.
type accountConfig struct {
	ID                string `yaml:"id"`
	Provider          string `yaml:"provider"`
	Priority          int    `yaml:"priority"`
	Weight            int    `yaml:"weight"`
	Disabled          bool   `yaml:"disabled"`
	DisableCooling    bool   `yaml:"disable_cooling"`
	CredentialVersion string `yaml:"credential_version"`
}

// put returns the command that puts the account into the pool under a stored id.
func (a accountConfig) put(stored string) projection.PutAccount {
	return projection.PutAccount{ID: stored, Spec: events.AccountSpec{
		Provider: a.Provider, Priority: a.Priority, Weight: a.Weight, Disabled: a.Disabled,
		DisableCooling: a.DisableCooling, CredentialVersion: a.CredentialVersion,
	}}
}

// accounts returns the accounts of the file, if it has any.
func (f *configFile) accounts() []accountConfig {
	if f.Accounts == nil {
		return nil
	}
	return *f.Accounts
}

// groups returns the definitions of the file, or nil if it has none.
func (f *configFile) groups() *projection.GroupsConfig {
	if f.Bootstrap == nil && f.Groups == nil && f.Aliases == nil {
		return nil
	}
	c := &projection.GroupsConfig{Aliases: f.Aliases}
	if f.Bootstrap != nil {
		c.Bootstrap = *f.Bootstrap
	}
	if f.Groups != nil {
		c.Groups = *f.Groups
	}
	return c
}

// parsedConfig is a configuration file that was read: its values and where they
// stand. The zero value is a file that says nothing.
type parsedConfig struct {
	name string
	sum  fingerprint // of what was read
	file configFile
	root *yaml.Node // nil: an empty document
}

// loadConfig reads and checks a file. The error is the *configError of every
// mistake found, joined.
func loadConfig(name string) (*parsedConfig, error) {
	doc, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	p, err := parseConfig(name, doc)
	if p != nil {
		p.sum = fingerprint(sha256.Sum256(doc))
	}
	if err != nil {
		return p, err
	}
	return p, p.anchor()
}

// anchor makes relative paths of the file start from the folder that it is in: what they
// mean must not depend on where the daemon is started.
func (p *parsedConfig) anchor() error {
	folder, err := filepath.Abs(filepath.Dir(p.name))
	if err != nil {
		return err
	}
	paths := []*string{p.file.DataDir}
	if t := p.file.TLS; t != nil {
		paths = append(paths, t.Cert, t.Key)
	}
	for i := range p.file.Webhooks {
		paths = append(paths, &p.file.Webhooks[i].SecretFile)
	}
	for _, path := range paths {
		if path != nil && *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(folder, *path)
		}
	}
	return nil
}

// checkAgain refuses a file that cannot be read a second time: a pipe is empty by then, or
// would have a reload wait for ever.
func checkAgain(name string) error {
	info, err := os.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file, so that it cannot be read again: restart the server to change its settings", name)
	}
	return nil // that there is none, reading it says better
}

// fingerprint tells whether a file is as it was; the zero value is of one that cannot be
// read, or not again.
type fingerprint [sha256.Size]byte

func fingerprintOf(name string) fingerprint {
	if checkAgain(name) != nil {
		return fingerprint{}
	}
	doc, err := os.ReadFile(name)
	if err != nil {
		return fingerprint{}
	}
	return sha256.Sum256(doc)
}

func parseConfig(name string, doc []byte) (*parsedConfig, error) {
	p := &parsedConfig{name: name}
	if isBlank(doc) {
		return p, nil
	}
	if err := p.parse(doc); err != nil {
		return nil, err
	}
	if err := yaml.Load(doc, &p.file, yaml.WithKnownFields()); err != nil {
		return nil, p.mistakes(err)
	}
	return p, p.check()
}

// parse reads the form of the one document that a file is.
func (p *parsedConfig) parse(doc []byte) error {
	l, err := yaml.NewLoader(bytes.NewReader(doc))
	if err != nil {
		return err
	}
	root, second := new(yaml.Node), new(yaml.Node)
	if err := l.Load(root); err != nil {
		return p.mistakes(err)
	}
	p.root = root
	switch err := l.Load(second); {
	case err == nil:
		return &configError{p.name, second.Line, "a second document begins here, and a file holds only one"}
	case !errors.Is(err, io.EOF):
		return p.mistakes(err)
	}
	return nil
}

// isBlank reports whether a document holds only comments, which YAML calls no
// document.
func isBlank(doc []byte) bool {
	for line := range bytes.Lines(doc) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return false
		}
	}
	return true
}

// at returns the line of a path such as policy.capacity.bound, or of the nearest
// thing above it; 0 if there is none. Elements of lists are named by their index.
func (p *parsedConfig) at(path ...string) int {
	n, _ := p.find(path...)
	if n == nil {
		return 0
	}
	return n.Line
}

// find returns the node at a path and how many of its elements were found.
func (p *parsedConfig) find(path ...string) (*yaml.Node, int) {
	if p.root == nil || len(p.root.Content) == 0 {
		return nil, 0
	}
	n := p.root.Content[0]
	for i, name := range path {
		next := child(n, name)
		if next == nil {
			return n, i
		}
		n = next
	}
	return n, len(path)
}

// child returns what a node holds under a name or an index, or nil.
func child(n *yaml.Node, name string) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(name); err == nil && i < len(n.Content) {
			return n.Content[i]
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				// The key's line: a value may begin on the next one.
				v := *n.Content[i+1]
				v.Line = n.Content[i].Line
				return &v
			}
		}
	}
	return nil
}

// check finds mistakes that the form does not show.
func (p *parsedConfig) check() error {
	var errs []error
	fail := func(err error, path ...string) {
		if err != nil {
			errs = append(errs, p.mistake(err, path...))
		}
	}
	f := &p.file
	if f.Listen != nil {
		fail(checkListen(*f.Listen), "listen")
	}
	p.checkNetwork(fail)
	if f.Log != nil && f.Log.Format != nil {
		fail(checkLogFormat(*f.Log.Format), "log", "format")
	}
	if f.Log != nil && f.Log.Level != nil {
		fail(checkLogLevel(*f.Log.Level), "log", "level")
	}
	if t := f.TLS; t != nil && (t.Cert == nil || *t.Cert == "") != (t.Key == nil || *t.Key == "") {
		fail(errors.New("cert and key belong together"), "tls")
	}
	if i, err := p.checkAccounts(); err != nil {
		fail(err, "accounts", strconv.Itoa(i))
	}
	if f.Strategies != nil {
		p.checkStrategies(fail)
	}
	if c := f.groups(); c != nil {
		err := tryOn(projection.NewState(), &projection.DefineGroups{Config: *c})
		fail(err, blameGroups(c)...)
	}
	if f.Policy != nil {
		err := tryOn(projection.NewState(), &projection.DefinePolicy{Config: *f.Policy})
		fail(err, blamePolicy(f.Policy)...)
	}
	p.checkWebhooks(fail)
	return errors.Join(errs...)
}

// checkListen refuses what cannot be listened on: it must be host:port, and the host
// may be empty, or unix:/path.
func checkListen(addr string) error {
	if strings.HasPrefix(addr, "unix:") {
		return api.CheckBind(addr, false, false)
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is no address to listen on: write host:port, such as %s", addr, defaultListen)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("%q has no port within 0 and 65535", addr)
	}
	return nil
}

func checkLogFormat(format string) error {
	if format != logText && format != logJSON {
		return fmt.Errorf("%q is neither %s nor %s", format, logText, logJSON)
	}
	return nil
}

// checkAccounts returns the index of the first account that would be refused.
func (p *parsedConfig) checkAccounts() (int, error) {
	seen := map[string]bool{}
	ids := identity.New()
	for i, a := range p.file.accounts() {
		switch {
		case a.ID == "":
			return i, errors.New("id is missing")
		case seen[a.ID]:
			return i, fmt.Errorf("the account %q is given twice", a.ID)
		}
		seen[a.ID] = true
		// What is refused is what would be stored: an e-mail address never is.
		if err := tryOn(projection.NewState(), new(a.put(ids.Stored(a.ID)))); err != nil {
			return i, err
		}
	}
	return 0, nil
}

// tryOn decides a command without a log: what the engine would refuse at start is
// refused here, with a line.
func tryOn(s *projection.State, do projection.Intent) error { return tryAt(s, do, time.Unix(0, 0)) }

func tryAt(s *projection.State, do projection.Intent, now time.Time) error {
	_, err := projection.Decide(s, projection.Command{Do: do}, now)
	return err
}

func refusesGroups(c projection.GroupsConfig) bool {
	return tryOn(projection.NewState(), &projection.DefineGroups{Config: c}) != nil
}

func refusesPolicy(c projection.PolicyConfig) bool {
	return tryOn(projection.NewState(), &projection.DefinePolicy{Config: c}) != nil
}

// blameGroups returns the path of what makes definitions refused: the first group
// with which they are, else the first provider's aliases.
func blameGroups(c *projection.GroupsConfig) []string {
	part := projection.GroupsConfig{Bootstrap: c.Bootstrap}
	if refusesGroups(part) {
		return []string{"bootstrap"}
	}
	for i := range c.Groups {
		part.Groups = c.Groups[:i+1]
		if refusesGroups(part) {
			return []string{"groups", strconv.Itoa(i)}
		}
	}
	for _, provider := range slices.Sorted(maps.Keys(c.Aliases)) {
		part.Aliases = map[string]map[string]string{provider: c.Aliases[provider]}
		if refusesGroups(part) {
			return []string{"aliases", provider}
		}
	}
	return []string{"aliases"}
}

// blamePolicy returns the path of what makes a policy refused.
func blamePolicy(c *projection.PolicyConfig) []string {
	for _, key := range ruleKeys() {
		if refusesPolicy(projection.PolicyConfig{RulesConfig: only(c.RulesConfig, key)}) {
			return []string{"policy", key}
		}
	}
	part := projection.PolicyConfig{RulesConfig: c.RulesConfig, Providers: map[string]projection.RulesConfig{}}
	for _, provider := range sortedProviders(c) {
		part.Providers[provider] = c.Providers[provider]
		if !refusesPolicy(part) {
			continue
		}
		for _, key := range ruleKeys() {
			part.Providers[provider] = only(c.Providers[provider], key)
			if refusesPolicy(part) {
				return []string{"policy", "providers", provider, key}
			}
		}
		return []string{"policy", "providers", provider}
	}
	return []string{"policy"}
}

func sortedProviders(c *projection.PolicyConfig) []string {
	var list []string
	for p := range c.Providers {
		list = append(list, p)
	}
	slices.Sort(list)
	return list
}
