package stream

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

var long = flag.Bool("long", false, "the long form: a minute and a half")

// TestMain is also the process of the clients.
func TestMain(m *testing.M) {
	flag.Parse()
	if job := os.Getenv(envClients); job != "" {
		if err := beClients(job); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
