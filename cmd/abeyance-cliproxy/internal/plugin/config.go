package plugin

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
)

// The modes.
const (
	modeEnforce = "enforce" // keep what is blocked from being picked
	modeObserve = "observe" // learn, record and show, and leave every pick to the host
)

// config is what plugins.configs.abeyance may say.
type config struct {
	DataDir  string          `yaml:"data-dir"`
	Mode     string          `yaml:"mode"`
	Listen   string          `yaml:"listen"`
	Strategy router.Strategy `yaml:"strategy"`
	// Bootstrap, Groups and Aliases are the fields of projection.GroupsConfig.
	Bootstrap *string                      `yaml:"bootstrap"`
	Groups    *[]projection.GroupConfig    `yaml:"groups"`
	Aliases   map[string]map[string]string `yaml:"aliases"`
	Policy    *projection.PolicyConfig     `yaml:"policy"`

	// The host's own keys of a plugin.
	Enabled  any `yaml:"enabled"`
	Priority any `yaml:"priority"`
	Store    any `yaml:"store"`
}

// readConfig reads and checks a configuration. An error says all that is wrong with it.
func readConfig(doc []byte) (*config, error) {
	c := &config{Mode: modeEnforce, Strategy: router.RoundRobin}
	if len(strings.TrimSpace(string(doc))) > 0 {
		if err := yaml.Load(doc, c, yaml.WithKnownFields()); err != nil {
			return nil, misread(err)
		}
	}
	return c, c.check()
}

// misread words the decoder's errors for people who never saw our types.
func misread(err error) error {
	many, ok := errors.AsType[*yaml.LoadErrors](err)
	if !ok {
		return err
	}
	var list []error
	for _, e := range many.Errors {
		text := strings.TrimPrefix(e.Message, "yaml: ")
		if key, _, unknown := strings.Cut(strings.TrimPrefix(text, "field "), " not found in type "); unknown {
			text = fmt.Sprintf("unknown key %q", key)
		}
		list = append(list, fmt.Errorf("line %d: %s", e.Mark.Line, text))
	}
	return errors.Join(list...)
}

func (c *config) check() error {
	var errs []error
	fail := func(key string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	if strings.TrimSpace(c.DataDir) == "" {
		fail("data-dir", errors.New("it is required: name a directory of its own, such as /var/lib/abeyance; it is made if its parent exists"))
	}
	if c.Mode != modeEnforce && c.Mode != modeObserve {
		fail("mode", fmt.Errorf("%q is neither %s nor %s", c.Mode, modeEnforce, modeObserve))
	}
	_, err := router.ParseStrategy(string(c.Strategy))
	fail("strategy", err)
	if c.Listen != "" {
		fail("listen", checkListen(c.Listen))
	}
	if g := c.groups(); g != nil {
		fail("groups", try(&projection.DefineGroups{Config: *g}))
	}
	if c.Policy != nil {
		fail("policy", try(&projection.DefinePolicy{Config: *c.Policy}))
	}
	return errors.Join(errs...)
}

// checkListen takes loopback addresses alone: TLS is for the daemon.
func checkListen(addr string) error {
	if err := api.CheckBind(addr, false, false); err != nil {
		if _, _, bad := net.SplitHostPort(addr); bad != nil {
			return err
		}
		return fmt.Errorf("%s is not on this machine alone, and tokens would cross the network in clear: listen on 127.0.0.1", addr)
	}
	_, port, _ := net.SplitHostPort(addr)
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("%q has no port within 0 and 65535", addr)
	}
	return nil
}

// try decides a definition without a log: what the engine would refuse is refused
// before anything is opened or changed.
func try(do projection.Intent) error {
	_, err := projection.Decide(projection.NewState(), projection.Command{Do: do}, time.Unix(0, 0))
	return err
}

// groups returns the definitions, or nil if there are none.
func (c *config) groups() *projection.GroupsConfig {
	if c.Bootstrap == nil && c.Groups == nil && c.Aliases == nil {
		return nil
	}
	g := &projection.GroupsConfig{Bootstrap: *cmp.Or(c.Bootstrap, new("")), Aliases: c.Aliases}
	if c.Groups != nil {
		g.Groups = *c.Groups
	}
	return g
}

// reopens reports whether a change from an old configuration needs the log to be opened
// anew. Everything else is changed as it stands.
func (c *config) reopens(old *config) bool { return c.DataDir != old.DataDir || c.Mode != old.Mode }

// definitions returns the commands that bring an engine from one configuration's
// definitions to another's. What the new one leaves out stays in force, as it does at a
// start.
func (c *config) definitions(old *config) []projection.Intent {
	var list []projection.Intent
	if g := c.groups(); g != nil && !reflect.DeepEqual(g, old.groups()) {
		list = append(list, &projection.DefineGroups{Config: *g})
	}
	if c.Policy != nil && !reflect.DeepEqual(c.Policy, old.Policy) {
		list = append(list, &projection.DefinePolicy{Config: *c.Policy})
	}
	return list
}

// fields describes the keys for management clients.
func fields() []configField {
	return []configField{
		{Name: "data-dir", Type: "string", Description: "The directory of the log, required; it is made if its parent exists."},
		{Name: "mode", Type: "enum", EnumValues: []string{modeEnforce, modeObserve}, Description: "enforce (default) keeps what is blocked from being picked; observe learns, records and shows, and leaves every pick to the host."},
		{Name: "strategy", Type: "enum", EnumValues: strategies(), Description: "How a usable account is chosen while another is blocked; round-robin by default."},
		{Name: "listen", Type: "string", Description: "Loopback address of Abeyance's own API, dashboard and metrics, such as 127.0.0.1:8417; nothing listens without it."},
		{Name: "bootstrap", Type: "string", Description: "The groups that ship: default, two-pools or none."},
		{Name: "groups", Type: "array", Description: "Quota groups: families of models that share a quota."},
		{Name: "aliases", Type: "object", Description: "Model names per provider that stand for others."},
		{Name: "policy", Type: "object", Description: "How long each class of answer blocks."},
	}
}

func strategies() []string {
	var list []string
	for _, s := range router.AllStrategies() {
		list = append(list, string(s))
	}
	return list
}
