package webhooks

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

var seed = flag.Uint64("seed", 0, "of the kills; 0: chosen by chance")

// TestMain is also the process of the receiver.
func TestMain(m *testing.M) {
	flag.Parse()
	if addr := os.Getenv(envReceiver); addr != "" {
		if err := beReceiver(addr, os.Getenv(envLedger)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
