package faults

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// crasher tries crashes of a recording.
type crasher struct {
	*testing.T
	*recording
	chance *rand.Rand
	root   string                    // in memory
	seen   map[[sha256.Size]byte]int // image -> the most lines that were said when it was tried

	tried, torn, differ int // crashes
	early               int // before anything was acknowledged or published
	refused             int // of those: the log could not be opened
	restored            int // opened from a checkpoint
	unsound             map[unsound]int
	samples             map[unsound]string // the first of each
}

// unsound is a way in which a log can be wrong after a crash.
type unsound string

const (
	isLost    unsound = "lost"    // what was acknowledged is not there
	isWrong   unsound = "wrong"   // something else is
	isRefused unsound = "refused" // a log that was in use cannot be opened
	isUnclear unsound = "unclear" // it cannot be opened, and the error does not say which file
	isPanic   unsound = "panic"
)

func newCrasher(t *testing.T, r *recording, chance *rand.Rand) *crasher {
	t.Helper()
	return &crasher{
		T: t, recording: r, chance: chance, root: memory(t, "256m"), seen: map[[sha256.Size]byte]int{},
		unsound: map[unsound]int{}, samples: map[unsound]string{},
	}
}

// crashes yields crashes until n different ones were tried, systematic ones and others
// by chance in turn.
func (c *crasher) crashes(n int) iter.Seq[crash] {
	list := c.systematic()
	c.chance.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return func(yield func(crash) bool) {
		for more := 100 * n; c.tried < n; more-- {
			var s crash
			switch {
			case c.tried%2 == 0 && len(list) > 0:
				s, list = list[0], list[1:]
			case more < 0:
				c.Fatalf("there are only %d different crashes", c.tried)
			default:
				s = c.random(c.chance)
			}
			if !yield(s) {
				return
			}
		}
	}
}

// try makes what is on disk after a crash and sees how the log is, unless the same was
// seen with as much acknowledged.
func (c *crasher) try(s crash) {
	c.Helper()
	image := c.image(s)
	id := s.identify(image)
	lines := c.heard(s.at)
	if most, seen := c.seen[id]; seen && most >= len(lines) {
		return
	}
	c.seen[id] = len(lines)
	c.tried++
	root := filepath.Join(c.root, fmt.Sprint(c.tried))
	if err := s.materialize(image, root); err != nil {
		c.Fatal(err)
	}
	how, err := c.open(s, filepath.Join(root, recordedName))
	if err := os.RemoveAll(root); err != nil {
		c.Fatal(err)
	}
	if s.torn() > 0 {
		c.torn++
	}
	if all := c.all(s.at); all.identify(c.image(all)) != id {
		c.differ++
	}
	if how == "" {
		return
	}
	if c.unsound[how]++; c.unsound[how] == 1 {
		c.samples[how] = fmt.Sprintf("%v\nafter %s", err, s.describe(c.recording))
	}
}

// open opens what a crash left as the next process does, and says what is wrong.
func (c *crasher) open(s crash, dir string) (how unsound, err error) {
	c.Helper()
	l := newLedger()
	for _, line := range c.heard(s.at) {
		if err := l.note(line.text); err != nil {
			c.Fatal(err)
		}
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			how, err = isPanic, fmt.Errorf("%v\n%s", p, debug.Stack())
		}
	}()
	f, err := l.check(c.Context(), dir)
	promised := len(l.acked)+len(l.states) > 0
	if !promised {
		c.early++
	}
	switch {
	case err != nil && !strings.Contains(err.Error(), dir):
		return isUnclear, err
	case err != nil && promised:
		return isRefused, err
	case err != nil:
		c.refused++
		return "", nil
	}
	if f.from > 0 {
		c.restored++
	}
	lost := len(f.lost) > 0
	if err := f.err(); lost {
		return isLost, err
	} else if err != nil {
		return isWrong, err
	}
	if err := goesOn(c.Context(), dir); err != nil {
		return isWrong, fmt.Errorf("going on: %w", err)
	}
	return "", nil
}

// goesOn executes a command on a log, and checks all of it, what no checkpoint spares
// and what stands beside it, too.
func goesOn(ctx context.Context, dir string) error {
	f, err := openFolded(dir)
	if err != nil {
		return err
	}
	e, err := projection.Open(ctx, f.log, &projection.Options{Accounts: pool(), State: f.State, Checkpoints: f.log})
	if err == nil {
		_, err = e.Execute(ctx, projection.Command{
			Origin: events.Origin{Actor: "operator:faults", Via: events.ViaGo}, Do: limitOf("a0", "after the crash"),
		})
		err = errors.Join(err, e.Close())
	}
	if err == nil {
		_, err = f.log.Verify(ctx, nil)
	}
	return errors.Join(err, f.log.Close())
}

// report says what was tried.
func (c *crasher) report(began time.Time) {
	c.Helper()
	c.Logf("%d crash states of %d steps with %d changes and %d syncs, in %s: %d had torn writes, %d were other than all that was written, %d before anything was promised; %d opened from a checkpoint, %d refused before anything was promised; unsound: %v",
		c.tried, c.steps, len(c.ops), len(c.syncs), time.Since(began).Round(time.Millisecond), c.torn, c.differ, c.early, c.restored, c.refused, c.unsound)
}

func TestRule05CrashStatesKeepWhatWasAcknowledged(t *testing.T) {
	chance := begin(t, "strace", "mount", "umount")
	steps, root := record(t)
	recorded := func(t *testing.T, ignore func(flush) bool) *recording {
		r, err := watch(steps, root, ignore)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	t.Run("as recorded", func(t *testing.T) {
		began := time.Now()
		c := newCrasher(t, recorded(t, nil), chance)
		c.wantAll()
		for s := range c.crashes(*states) {
			c.try(s)
		}
		c.report(began)
		for how, sample := range c.samples {
			t.Errorf("%s: %d crash states; the first: %s", how, c.unsound[how], sample)
		}
		if c.differ == 0 || c.tried >= 100 && (c.torn == 0 || c.early == 0 || c.restored == 0) {
			t.Error("some crashes never came where they should")
		}
	})
	for _, control := range missingSyncs() {
		t.Run("without "+control.name, func(t *testing.T) {
			began := time.Now()
			c := newCrasher(t, recorded(t, control.ignore), chance)
			for s := range c.crashes(controlStates) {
				if c.try(s); c.unsound[control.must] == controlFinds {
					break
				}
			}
			c.report(began)
			if found := c.unsound[control.must]; found < controlFinds {
				t.Errorf("%d crash states are %s; the loop hardly sees what is lost", found, control.must)
			}
		})
	}
}

// A negative control ends when it has found what it must; else it fails.
const (
	controlStates = 1000
	controlFinds  = 3
)

// missingSync is a negative control: the recording, but for some of its syncs.
type missingSync struct {
	name   string
	ignore func(flush) bool
	must   unsound // how some crash states must be then
}

func missingSyncs() []missingSync {
	made := func(name string) func(flush) bool {
		return func(f flush) bool { return f.path == filepath.Join(recordedName, name) }
	}
	log, head := made("log.db.new"), made("head.new")
	return []missingSync{
		{"any sync", func(flush) bool { return true }, isLost},
		{"the sync after a commit's pages", func(f flush) bool { return log(f) && f.metas() == 0 }, isRefused},
		{"the sync after a commit's meta page", func(f flush) bool { return log(f) && f.metas() == len(f.ops) }, isLost},
		{"the sync of the head file", head, isRefused},
		{"syncs of directories", func(f flush) bool { return f.dir }, isLost},
	}
}

// metas returns how many of the writes that are synced are to a meta page of bbolt's, one
// of the first two.
func (f flush) metas() (n int) {
	for _, o := range f.ops {
		if o.kind == opWrite && o.at < 2*int64(os.Getpagesize()) {
			n++
		}
	}
	return n
}

// wantAll checks that the process did what it is recorded for: that files got their
// names by rename, and lost them, so often.
func (c *crasher) wantAll() {
	c.Helper()
	did := map[string]int{}
	for _, o := range c.ops {
		switch {
		case o.kind == opLeave:
			did["removed "+filepath.Ext(o.name)]++
		case o.was != "":
			did[strings.TrimLeft(o.name, "0123456789")]++
		}
	}
	for what, least := range map[string]int{
		"log.db": 1, ".checkpoint": 3, "removed .checkpoint": 1, "index": recordedStarts,
		"head": 2 * recordedStarts, // at the end of each start, and before
	} {
		if did[what] < least {
			c.Errorf("the recording has %q %d times, and should have it %d times", what, did[what], least)
		}
	}
}
