package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/abeyance/abeyance/events/sidecar"
)

// contextsVersion is the format of the file of contexts.
const contextsVersion = 1

// contexts are the daemons that an operator has given names, and which of them commands
// ask if nothing else is said. They stand in a file of their own, which only the command
// context writes, and which holds no token: only where one is.
type contexts struct {
	Version int                      `json:"version"`
	Current string                   `json:"current,omitempty"`
	Named   map[string]daemonContext `json:"contexts"`

	path string
}

// daemonContext says where one daemon is: at a URL, or in a data directory. Paths are
// absolute: a context means the same wherever it is used.
type daemonContext struct {
	URL       string `json:"url,omitempty"`
	TokenFile string `json:"token_file,omitempty"` // beside a data directory: its own token if empty
	DataDir   string `json:"data_dir,omitempty"`
}

// isContextName reports whether a context may be called so: it stands on command lines and in tables.
func isContextName(name string) bool {
	return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`).MatchString(name)
}

// check refuses a context that names no daemon, or two.
func (c *daemonContext) check() error {
	switch {
	case c.URL == "" && c.DataDir == "":
		return errors.New("it names no daemon: give url and token_file, or data_dir")
	case c.URL != "" && c.DataDir != "":
		return errors.New("url and data_dir both say which daemon: give one of them")
	case c.URL != "" && c.TokenFile == "":
		return errors.New("url needs token_file beside it")
	case c.URL != "":
		_, err := newClient(c.URL, "")
		return err
	}
	return nil
}

// defaultContextsFile is where a file of contexts is looked for that nothing names: in
// the user's directory for configuration (XDG_CONFIG_HOME, if that is set). It is only
// read there: nothing is written to a path that nobody named. Empty: the user has no
// such directory.
func (env *environment) defaultContextsFile() string {
	dir := env.getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) {
		var err error
		if env.getenv("HOME")+env.getenv("AppData") == "" {
			return ""
		}
		if dir, err = os.UserConfigDir(); err != nil {
			return ""
		}
	}
	return filepath.Join(dir, "abeyance", "contexts.json")
}

// readContexts returns the contexts, none if nobody has made any. A file that is named
// need not exist.
func (env *environment) readContexts() (*contexts, error) {
	all := &contexts{Version: contextsVersion, Named: map[string]daemonContext{}, path: env.contextsFile}
	if all.path == "" {
		all.path = env.defaultContextsFile()
		if _, err := os.Lstat(all.path); err != nil {
			return all, nil // whatever is wrong with the place, nobody has put a file there
		}
	}
	doc, err := sidecar.Read(all.path)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err == nil {
		err = all.decode(doc)
	}
	if err != nil {
		return nil, fmt.Errorf("the contexts: %w", err)
	}
	return all, nil
}

// decode reads the file as strictly as it was written.
func (c *contexts) decode(doc []byte) error {
	c.Version = 0
	in := json.NewDecoder(bytes.NewReader(doc))
	in.DisallowUnknownFields()
	if err := in.Decode(c); err != nil {
		return fmt.Errorf("%s is damaged: %w", c.path, err)
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s is damaged: something stands behind its end", c.path)
	}
	if c.Version != contextsVersion {
		return fmt.Errorf("%s has format %d, and this program knows %d: it was made by another version", c.path, c.Version, contextsVersion)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Named)) {
		one := c.Named[name]
		if !isContextName(name) {
			return fmt.Errorf("%s: %q is no name of a context", c.path, name)
		}
		if err := one.check(); err != nil {
			return fmt.Errorf("%s: context %s: %w", c.path, name, err)
		}
	}
	if _, there := c.Named[c.Current]; c.Current != "" && !there {
		return fmt.Errorf("%s: the current context, %q, is none of its contexts", c.path, c.Current)
	}
	if c.Named == nil {
		c.Named = map[string]daemonContext{}
	}
	return nil
}

// find returns a context by its name.
func (c *contexts) find(name string) (*daemonContext, error) {
	if one, there := c.Named[name]; there {
		return &one, nil
	}
	if c.path == "" {
		return nil, usage("there is no context %q, as no file of contexts is known: name it with --contexts-file (%s)", name, envContextsFile)
	}
	return nil, &exitError{exitNotFound, fmt.Errorf("there is no context %q in %s%s", name, c.path, didYouMean(name, c.names()))}
}

func (c *contexts) names() []string { return slices.Sorted(maps.Keys(c.Named)) }

// write replaces the file. Its directory is made if it is missing: it was named.
func (c *contexts) write() error {
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return err
	}
	doc, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return sidecar.Write(c.path, append(doc, '\n'))
}

// knownContexts is the source of the names of contexts.
func knownContexts(_ context.Context, env *environment, _ typed) (list []word) {
	all, err := env.readContexts()
	if err != nil {
		return nil
	}
	for _, name := range all.names() {
		one := all.Named[name]
		list = append(list, word{name, cmp.Or(one.URL, one.DataDir)})
	}
	return list
}
