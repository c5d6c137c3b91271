package linear

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"go.uber.org/goleak"
)

var (
	histories = flag.Int("histories", 10, "histories to make and judge")
	ops       = flag.Int("ops", 500, "answers in each history")
	seed      = flag.Uint64("seed", 0, "seed of the histories; 0: from the clock")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// begin returns the seed of a run, and prints it.
func begin(t *testing.T) uint64 {
	t.Helper()
	n := *seed
	if n == 0 {
		n = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed=%d", n)
	return n
}

// live lets clients work until the history is long enough, opens the log once more, and
// looks at what is left.
func live(t testing.TB, o order, c *counts) []porcupine.Operation {
	t.Helper()
	w := newWorld(t, o, c)
	var working sync.WaitGroup
	for n := range clients {
		working.Go(w.client(n).work)
	}
	working.Wait()
	w.replace(w.now())
	last := w.client(clients - 1)
	for _, account := range accounts() {
		last.do(call{verb: verbLook, account: account, target: everyTarget})
		for _, group := range []int{targetClaude, targetPro} {
			last.do(call{verb: verbPick, account: account, target: group})
			last.do(call{verb: verbPick, account: account, target: group, named: true})
		}
	}
	if err := w.close(); err != nil {
		t.Error(err)
	}
	return w.ops
}

func (w *world) client(n int) *client {
	return &client{world: w, Rand: rand.New(rand.NewPCG(w.seed, w.number<<8|uint64(n))), number: n, before: map[call]answer{}}
}

// TestHistoriesHaveAnOrder, with whatever befalls the log and the engine.
func TestHistoriesHaveAnOrder(t *testing.T) {
	n := begin(t)
	var c counts
	illegal := 0
	for number := range *histories {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			o := order{seed: n, number: uint64(number), length: *ops, faults: planned()}
			ops := live(t, o, &c)
			if result, info := judge(ops); result != porcupine.Ok {
				illegal++
				t.Errorf("-seed=%d, history %d: %s; drawn in %s\n%s", n, number, result, draw(t, info), explain(ops, &info))
			}
		})
	}
	t.Logf("%d histories of %d answers by %d clients, %d without an order\n%s", *histories, *ops, clients, illegal, c.String())
	for _, f := range allFaults() {
		if c.of(string(f)) == 0 {
			t.Errorf("no fault fired: %s", f)
		}
	}
	if *histories**ops >= 5000 {
		complete(t, &c)
	}
}

// planned are the faults of one history.
func planned() []fault {
	return slices.Concat(
		slices.Repeat([]fault{faultFull}, 4), slices.Repeat([]fault{faultLost, faultStored, faultRestart}, 2), []fault{faultBusy},
	)
}

// complete fails unless every kind of call, of answer, and of what became of commands
// occurred: else the histories show less than they claim.
func complete(t *testing.T, c *counts) {
	t.Helper()
	for _, what := range []string{
		"pick", "look", "limit", "ban", "serve", "suspend", "lift", "clear", "put", "remove", "unrecorded", "reopen",
		"pick while degraded", notFull, notBusy, notStopped, notWithdrawn,
		"answer: available", "answer: none", "answer: disabled", "answer: suspended", "answer: held", "answer: cooling", "answer: volatile",
		"answer: started", "answer: extended", "answer: kept", "answer: stale", "answer: recovered", "answer: nothing_blocked", "answer: older_success",
		"answer: lifted", "answer: cooldown_cleared", "answer: account_added", "answer: account_changed", "answer: account_removed",
		"answer: unchanged", "answer: wrong_verb", "answer: unknown_account", "answer: manual_suspension_live", "answer: idempotency_key_reused",
		"answer: repeated", "answer: pending",
	} {
		if c.of(what) == 0 {
			t.Errorf("it never occurred: %s", what)
		}
	}
}

// TestCheatsAreCaught: a history in which the promise is broken has no order.
func TestCheatsAreCaught(t *testing.T) {
	n := begin(t)
	for i, cheat := range allCheats() {
		t.Run(string(cheat), func(t *testing.T) {
			var c counts
			for number := range 20 { // most are caught in the first
				o := order{
					seed: n, number: uint64(1000*(i+1) + number), length: 300, once: true, cheat: cheat,
					faults: []fault{faultRestart, faultFull, faultRestart, faultFull, faultRestart},
				}
				ops := live(t, o, &c)
				if result, info := judge(ops); result == porcupine.Illegal {
					t.Logf("caught in history %d\n%s", number, explain(ops, &info))
					return
				}
			}
			t.Errorf("-seed=%d: not caught in 20 histories\n%s", n, c.String())
		})
	}
}
