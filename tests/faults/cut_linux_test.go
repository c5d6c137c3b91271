package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// cutter cuts the power of the disk under processes under test.
type cutter struct {
	*testing.T
	rand   *rand.Rand
	disk   *disk
	mode   string
	ledger *ledger
	rounds int
	name   string // of the directory on the disk
	boot   time.Duration

	running, starting int // faults that fired, by where
}

func newCutter(t *testing.T, kind, mode string) *cutter {
	t.Helper()
	r := begin(t, "mount", "umount", "losetup", "mkfs."+kind)
	return &cutter{T: t, rand: r, disk: newDisk(t, kind), mode: mode, boot: 50 * time.Millisecond}
}

// options are those of the next mount: how often the journal is written by itself.
func (c *cutter) options() string {
	if c.disk.kind != "ext4" {
		return ""
	}
	return fmt.Sprint("commit=", []int{1, 5, 1000}[c.rand.IntN(3)])
}

// round runs a process on the disk, cuts the power, and mounts the disk again. fresh
// begins a new log and may cut during its first start.
func (c *cutter) round(fresh bool) {
	c.Helper()
	if !c.disk.mounted {
		c.disk.mount(c.options())
	}
	c.rounds++
	if fresh {
		if err := os.RemoveAll(c.dir()); c.name != "" && err != nil {
			c.Fatal(err)
		}
		c.name, c.ledger = fmt.Sprint("data", c.rounds), newLedger()
	}
	p := startChild(c.T, c.ledger, c.mode, fmt.Sprint("r", c.rounds), c.dir())
	if fresh && c.mode == modeSound {
		pause(upTo(c.rand, c.boot))
	} else {
		c.boot = (c.boot + p.serving()) / 2
		pause(10*time.Millisecond + upTo(c.rand, 40*time.Millisecond))
	}
	c.disk.cut()
	c.ends(p)
	c.disk.unmount()
	c.disk.mount(c.options())
}

// ends waits until the process has met the cut and given up.
func (c *cutter) ends(p *process) {
	c.Helper()
	if !p.wait(10 * time.Second) {
		c.Fatalf("the process under test went on for 10 s without a disk\n%s", p.stderr.String())
	}
	if p.err != nil || p.stopped == "" || p.stopped == `"<nil>"` {
		c.Fatalf("the process under test ended otherwise than by the cut: %s %v\n%s", p.stopped, p.err, p.stderr.String())
	}
	if p.acks == 0 {
		c.starting++
		return
	}
	c.running++
	if p.degraded != "true" {
		c.Errorf("after the cut picks were not marked degraded: %q", p.degraded)
	}
}

func (c *cutter) dir() string { return filepath.Join(c.disk.point, c.name) }

func TestRule05PowerCutKeepsWhatWasAcknowledged(t *testing.T) {
	for kind := range strings.SplitSeq(*fsList, ",") {
		t.Run(kind, func(t *testing.T) {
			c := newCutter(t, kind, modeSound)
			acked := 0
			for n := range *cuts {
				fresh := n%perDirectory == 0
				if fresh && c.ledger != nil {
					acked += len(c.ledger.acked)
				}
				c.round(fresh)
				f, err := c.ledger.check(t.Context(), c.dir())
				if err != nil {
					t.Fatalf("opening after cut %d: %v", n+1, err)
				}
				if err := f.err(); err != nil {
					t.Fatalf("after cut %d: %v", n+1, err)
				}
			}
			acked += len(c.ledger.acked)
			t.Logf("%d power cuts of %s fired: %d while commands were executed, %d during a first start; %d records acknowledged, 0 lost",
				c.running+c.starting, kind, c.running, c.starting, acked)
			if c.running == 0 || *cuts >= 100 && c.starting == 0 {
				t.Error("some cuts never fired where they should")
			}
		})
	}
}

// The negative control: a file that is never synced must lose what was acknowledged
// in more than half of the cuts.
func TestPowerCutFindsMissingSyncs(t *testing.T) {
	c := newCutter(t, "ext4", modeNoSync)
	const rounds = 10
	losses := 0
	for range rounds {
		c.round(true)
		found, err := readNoSync(c.dir())
		lost := c.ledger.lost(found)
		if len(lost) > 0 {
			losses++
		}
		t.Logf("%d of %d records acknowledged were lost (opening: %v)", len(lost), len(c.ledger.acked), err)
	}
	t.Logf("%d of %d power cuts fired; %d lost what a file without syncs had acknowledged", c.running, rounds, losses)
	if losses <= rounds/2 {
		t.Error("the loop hardly sees records that are lost")
	}
}
