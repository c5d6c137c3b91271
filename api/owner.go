package api

import (
	"fmt"
	"sync"

	"github.com/abeyance/abeyance/events"
)

// Section is a part of the configuration that either the configuration file owns, or
// the log: it is changed there, and nowhere else.
type Section string

// The sections.
const (
	SectionAccounts Section = "accounts" // the configured accounts; observed ones are the log's
	SectionGroups   Section = "groups"   // bootstrap, groups and aliases
	SectionPolicy   Section = "policy"
)

// Owners says which sections a configuration file owns. The zero value: the log owns
// all. All methods may be called from several goroutines.
type Owners struct {
	mu sync.RWMutex // held for reading while a request changes a section
	// places :: section → where the file states it, such as "abeyance.yaml:12"
	places map[Section]string
}

// Hand runs what puts a file in force while no request changes a section. Unless that
// fails, the file owns the sections that it returns with their places, and no others.
func (o *Owners) Hand(over func() (map[Section]string, error)) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	places, err := over()
	if err == nil {
		o.places = places
	}
	return err
}

// change lets a request change a section: call done once its command is executed, which
// a reload waits for. The error is a problem that names the file's line, if a file owns
// the section and free, if there is one, does not say that this part of it is nobody's.
func (o *Owners) change(s Section, free func() bool) (done func(), err error) {
	if o == nil {
		return func() {}, nil
	}
	o.mu.RLock()
	if place, owned := o.places[s]; owned && (free == nil || !free()) {
		o.mu.RUnlock()
		return nil, ownedByFile(s, place)
	}
	return o.mu.RUnlock, nil
}

func ownedByFile(s Section, place string) *Problem {
	them, keys := "them", "the key "+string(s)
	switch s {
	case SectionPolicy:
		them = "it"
	case SectionGroups:
		keys = "the keys bootstrap, groups and aliases"
	}
	return newProblem(CodeOwned, fmt.Sprintf("%s: the configuration file owns the %s: change %s there, and the server takes it up; "+
		"for changes here take %s out of the file", place, s, them, keys))
}

// changeSection is Owners.change for a request that may be a dry run: that changes
// nothing, and shows what a change of the file would do.
func (b *Backend) changeSection(s Section, dryRun bool) (done func(), err error) {
	if dryRun {
		return func() {}, nil
	}
	return b.Owners.change(s, nil)
}

// changeOne is changeSection for one account. One that was only observed is in no file;
// and that one is not known is another problem.
func (b *Backend) changeOne(stored string) (done func(), err error) {
	return b.Owners.change(SectionAccounts, func() bool {
		a := b.Engine.State().Account(stored)
		return a == nil || a.Spec.Origin == events.OriginObserved
	})
}
