package main

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/api/hooks"
	"github.com/abeyance/abeyance/projection"
)

// defaultLongerThan is how long a cooldown lasts before a webhook is told of it, unless
// the file says.
const defaultLongerThan = time.Hour

// webhookConfig is one receiver of notices.
type webhookConfig struct {
	Name       string                  `yaml:"name"`
	URL        string                  `yaml:"url"`
	SecretFile string                  `yaml:"secret_file"`
	On         []projection.NoticeKind `yaml:"on"`
	LongerThan *projection.Duration    `yaml:"longer_than"`
	Provider   string                  `yaml:"provider"`
	Group      string                  `yaml:"group"`
	GivenIDs   bool                    `yaml:"given_ids"`
	Insecure   bool                    `yaml:"insecure"`
}

// hook returns the hook without its secret.
func (c *webhookConfig) hook() hooks.Hook {
	h := hooks.Hook{
		Name: c.Name, URL: c.URL, GivenIDs: c.GivenIDs, Insecure: c.Insecure, Version: buildInfo().Version,
		Filter: projection.NoticeFilter{On: c.On, Provider: projection.CanonicalProvider(c.Provider), LongerThan: defaultLongerThan},
	}
	if c.Group != "" {
		h.Filter.Group = projection.CanonicalGroup(c.Group)
	}
	if c.LongerThan != nil {
		h.Filter.LongerThan = time.Duration(*c.LongerThan)
	}
	return h
}

// checkWebhooks finds the mistakes of each receiver. Secrets are not read: where a file is
// checked need not be where it is used.
func (p *parsedConfig) checkWebhooks(fail func(err error, path ...string)) {
	list := p.file.Webhooks
	if len(list) > hooks.MaxHooks {
		fail(fmt.Errorf("%d are listed, and at most %d are served", len(list), hooks.MaxHooks), "webhooks")
	}
	seen := map[string]bool{}
	for i := range list {
		c := &list[i]
		failAt := func(err error, key string) { fail(err, "webhooks", strconv.Itoa(i), key) }
		failAt(hooks.CheckName(c.Name), "name")
		if seen[c.Name] {
			failAt(fmt.Errorf("%q is given twice", c.Name), "name")
		}
		seen[c.Name] = true
		failAt(hooks.CheckURL(c.URL, c.Insecure), "url")
		if c.SecretFile == "" {
			failAt(errors.New("it is missing: messages are signed"), "secret_file")
		}
		failAt(hooks.CheckKinds(c.On), "on")
		if c.LongerThan != nil && !c.freezes() {
			failAt(errors.New("it is of frozen, which on does not list"), "longer_than")
		}
		h := c.hook()
		if err := h.Filter.Check(); err != nil {
			key := "provider"
			if strings.HasPrefix(err.Error(), "the group") {
				key = "group"
			}
			failAt(err, key)
		}
	}
}

// hooks reads the secrets of the receivers. Errors name the line.
func (p *parsedConfig) hooks() ([]hooks.Hook, error) {
	var list []hooks.Hook
	for i := range p.file.Webhooks {
		h, err := p.webhook(i)
		if err != nil {
			return nil, err
		}
		list = append(list, h)
	}
	return list, nil
}

func (p *parsedConfig) webhook(i int) (h hooks.Hook, err error) {
	c := &p.file.Webhooks[i]
	h = c.hook()
	if h.Secret, err = hooks.ReadSecret(c.SecretFile); err != nil {
		return h, p.mistake(err, "webhooks", strconv.Itoa(i), "secret_file")
	}
	return h, nil
}

// webhookRows lists the receivers. Of an address only the host is shown: the rest may be
// a secret.
func (s *settings) webhookRows() []effectiveRow {
	var rows []effectiveRow
	for i := range s.file.file.Webhooks {
		c := &s.file.file.Webhooks[i]
		host := "?"
		if u, err := url.Parse(c.URL); err == nil {
			host = u.Host
		}
		rows = append(rows, effectiveRow{"webhooks." + c.Name, "to " + host + " " + c.describe(), s.file.origin("webhooks", strconv.Itoa(i))})
	}
	return rows
}

// describe says in a line what a receiver is told.
func (c *webhookConfig) describe() string {
	var on []string
	for _, k := range c.On {
		on = append(on, string(k))
	}
	h := c.hook()
	text := "on " + strings.Join(on, ", ")
	if c.freezes() {
		text += "; longer_than " + duration(h.Filter.LongerThan)
	}
	if h.Filter.Provider != "" {
		text += "; provider " + h.Filter.Provider
	}
	if h.Filter.Group != "" {
		text += "; group " + h.Filter.Group
	}
	if c.GivenIDs {
		text += "; given_ids"
	}
	if c.Insecure {
		text += "; insecure"
	}
	return text
}

// freezes reports whether how long a cooldown lasts matters.
func (c *webhookConfig) freezes() bool {
	return slices.Contains(c.On, projection.NoticeFrozen) || slices.Contains(c.On, projection.NoticeRecovered)
}

// openHooks begins to tell the receivers.
func (d *daemon) openHooks() (err error) {
	d.notifier, err = hooks.Open(hooks.Options{
		Engine: d.engine, Path: filepath.Join(d.settings.DataDir, hooks.FileName), Identities: d.ids, Logger: d.logger,
		Registerer: d.registry,
	})
	if err != nil {
		return err
	}
	return d.notifier.Set(d.hooks)
}

// prepareHooks reads the receivers and their secrets anew, for a reload.
func (d *daemon) prepareHooks(next *settings) (apply func(), err error) {
	list, err := next.file.hooks()
	if err != nil {
		return nil, err
	}
	return func() {
		if err := d.notifier.Set(list); err != nil {
			d.logger.Error("the webhooks could not be changed", "error", err)
			return
		}
		d.hooks = list
	}, nil
}

// unshownHooks lists the receivers whose address or secret is another one: of an address
// only the host is shown.
func (d *daemon) unshownHooks(next *settings) (changes []api.SettingChange, err error) {
	list, err := next.file.hooks()
	for i, h := range list {
		at := slices.IndexFunc(d.hooks, func(was hooks.Hook) bool { return was.Name == h.Name })
		if at < 0 {
			continue // its row says that it is new
		}
		note := func(same bool, key string) {
			if !same {
				changes = append(changes, api.SettingChange{
					Key: "webhooks." + h.Name + "." + key, From: "(not shown)", To: "(another one, not shown)",
					Origin: next.file.origin("webhooks", strconv.Itoa(i), key),
				})
			}
		}
		note(h.URL == d.hooks[at].URL, "url")
		note(h.Secret.Equal(d.hooks[at].Secret), "secret_file")
	}
	return changes, err
}

func newTestWebhookCommand(env *environment) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "test-webhook NAME --config FILE",
		Short: "Send a test message to a webhook of a configuration file",
		Long: `Send one message of the type "test", signed as all are, to the webhook NAME of a
configuration file, and say what was answered. No daemon is asked.`,
		Example: "  abeyance config test-webhook ops --config hooks.yaml",
		Args:    arguments(1, 1, "one NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if file == "" {
				return usage("name the configuration: --config FILE")
			}
			p, err := loadConfig(file)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			i := slices.IndexFunc(p.file.Webhooks, func(c webhookConfig) bool { return c.Name == args[0] })
			if i < 0 {
				return &exitError{exitNotFound, fmt.Errorf("%s has no webhook %q", file, args[0])}
			}
			h, err := p.webhook(i)
			if err != nil {
				return err
			}
			text, delivered, err := hooks.Test(cmd.Context(), h, env.now())
			if err != nil {
				return err
			}
			if !delivered {
				return fmt.Errorf("the webhook %q did not take the message: %s", h.Name, text)
			}
			env.say("delivered: %s", text)
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration `file`")
	return cmd
}
