package api_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/api"
)

const (
	someGroups = `{"groups":[{"id":"k","providers":["kimi"],"patterns":["k*"]}],"aliases":{"kimi":{"x":"k1"}}}`
	somePolicy = `{"rate_limited":{"jitter":"7s"},"providers":{"codex":{"auth":"none"}}}`
)

// A dry run answers what the same request without it does, but for the log.
func TestDryRunsShowWhatWouldBeInForce(t *testing.T) {
	b := newBench(t)
	groups := decode[api.GroupsAnswer](b.put("/v1/groups?dry_run=true", someGroups).want(http.StatusOK))
	policy := decode[api.PolicyAnswer](b.put("/v1/policy?dry_run=true", somePolicy).want(http.StatusOK))
	if was := decode[api.GroupsAnswer](b.get("/v1/groups")); was.Version != 1 || groups.Version != 2 || groups.Change.Version != 2 {
		t.Errorf("version %d is in force, and the dry run says %d", was.Version, groups.Version)
	}
	done := decode[api.GroupsAnswer](b.put("/v1/groups", someGroups).want(http.StatusOK))
	if diff := cmp.Diff(done.GroupsDefinition, groups.GroupsDefinition); diff != "" {
		t.Errorf("the groups in force differ from the dry run's (-in force):\n%s", diff)
	}
	set := decode[api.PolicyAnswer](b.put("/v1/policy", somePolicy).want(http.StatusOK))
	if diff := cmp.Diff(set.PolicyDefinition, policy.PolicyDefinition); diff != "" {
		t.Errorf("the policy in force differs from the dry run's (-in force):\n%s", diff)
	}
	again := decode[api.GroupsAnswer](b.put("/v1/groups?dry_run=true", someGroups).want(http.StatusOK))
	if diff := cmp.Diff(done.GroupsDefinition, again.GroupsDefinition); diff != "" || again.Change.Unchanged == "" {
		t.Errorf("a dry run of what is in force (-in force):\n%s", diff)
	}
}

// The record of a definition holds all of it, and its row in a list does not.
func TestEventsShowWhatWasDefined(t *testing.T) {
	b := newBench(t)
	groups := decode[api.GroupsAnswer](b.put("/v1/groups", someGroups).want(http.StatusOK))
	policy := decode[api.PolicyAnswer](b.put("/v1/policy", somePolicy).want(http.StatusOK))
	b.put("/v1/groups", `{}`).want(http.StatusOK) // what is in force now is another matter
	event := func(seq *uint64) api.EventData {
		return decode[api.EventRow](b.get(fmt.Sprintf("/v1/events/%d", *seq)).want(http.StatusOK)).Data
	}
	if diff := cmp.Diff(&groups.GroupsDefinition, event(groups.Change.Seq).DefinedGroups); diff != "" {
		t.Errorf("the event of the groups (-defined +shown):\n%s", diff)
	}
	if diff := cmp.Diff(&policy.PolicyDefinition, event(policy.Change.Seq).DefinedPolicy); diff != "" {
		t.Errorf("the event of the policy (-defined +shown):\n%s", diff)
	}
	for _, row := range decode[api.Page[api.EventRow]](b.get("/v1/events")).Items {
		if row.Data.Definition == nil || row.Data.DefinedGroups != nil || row.Data.DefinedPolicy != nil {
			t.Errorf("a row of the list: %+v", row.Data)
		}
	}
}
