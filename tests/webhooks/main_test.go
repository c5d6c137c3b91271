package webhooks

import (
	"flag"
	"testing"

	"go.uber.org/goleak"

	"github.com/abeyance/abeyance/tests/child"
)

var seed = flag.Uint64("seed", 0, "of the kills; 0: chosen by chance")

// TestMain is also the process of the receiver.
func TestMain(m *testing.M) {
	flag.Parse()
	child.Work(post.receive)
	goleak.VerifyTestMain(m)
}
