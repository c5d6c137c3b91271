package load

import (
	"flag"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/abeyance/abeyance/tests/child"
)

var long = flag.Bool("long", false, "the long form: two minutes")

// TestMain is also the process of the clients.
func TestMain(m *testing.M) {
	flag.Parse()
	child.Work(job.do)
	os.Exit(m.Run())
}

// job is what the other process is to do.
type job struct {
	Addr, Token string
	Kind        string // "picks" or "slow"
	Conns       int
	Rate        int     // picks a second, over all connections
	Seconds     float64 // of picks
	Bodies      bool    // slow: bodies, after whole headers; else headers
}

func (j job) do() error {
	if err := files(j.Conns); err != nil {
		return err
	}
	if j.Kind == "slow" {
		return j.slow()
	}
	return j.picks()
}

// files makes room for so many connections, as far as the system lets it.
func files(conns int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	need := uint64(conns + 200)
	if limit.Cur >= need {
		return nil
	}
	if limit.Max < need {
		return fmt.Errorf("a process may open %d files here, and %d connections need %d", limit.Max, conns, need)
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}
