package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestReloadsAreCounted(t *testing.T) {
	started := time.Unix(1_800_000_000, 0)
	r := newReloads(started)
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(r)
	wants := func(text string) {
		t.Helper()
		names := []string{"abeyance_config_reloads_total", "abeyance_config_reload_failed", "abeyance_config_last_reload_success_timestamp_seconds"}
		if err := testutil.GatherAndCompare(reg, strings.NewReader(text), names...); err != nil {
			t.Error(err)
		}
	}
	const help = `# HELP abeyance_config_last_reload_success_timestamp_seconds When the configuration was last read without a mistake.
# TYPE abeyance_config_last_reload_success_timestamp_seconds gauge
abeyance_config_last_reload_success_timestamp_seconds LAST
# HELP abeyance_config_reload_failed 1 if the last reload was refused and the configuration before it is in force, else 0.
# TYPE abeyance_config_reload_failed gauge
abeyance_config_reload_failed FAILED
# HELP abeyance_config_reloads_total Reloads of the configuration, by result.
# TYPE abeyance_config_reloads_total counter
abeyance_config_reloads_total{result="applied"} A
abeyance_config_reloads_total{result="failed"} F
abeyance_config_reloads_total{result="unchanged"} U
`
	as := func(last, failed, applied, refused, unchanged string) {
		t.Helper()
		wants(strings.NewReplacer("LAST", last, "FAILED", failed, "} A", "} "+applied, "} F", "} "+refused, "} U", "} "+unchanged).Replace(help))
	}
	as("1.8e+09", "0", "0", "0", "0")
	r.done(started.Add(time.Second), true, nil)
	as("1.800000001e+09", "0", "1", "0", "0")
	r.done(started.Add(2*time.Second), true, errors.New("line 3"))
	as("1.800000001e+09", "1", "1", "1", "0")
	r.done(started.Add(3*time.Second), false, nil)
	as("1.800000003e+09", "0", "1", "1", "1")
}
