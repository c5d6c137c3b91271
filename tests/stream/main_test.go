package stream

import (
	"flag"
	"os"
	"testing"

	"github.com/abeyance/abeyance/tests/child"
)

var long = flag.Bool("long", false, "the long form: a minute and a half")

// TestMain is also the process of the clients.
func TestMain(m *testing.M) {
	flag.Parse()
	child.Work(clients.follow)
	os.Exit(m.Run())
}
