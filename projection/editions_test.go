package projection

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/events"
)

// believing is a policy that does not believe resets beyond a bound.
func believing(bound time.Duration) *DefinePolicy {
	all := Duration(bound)
	return &DefinePolicy{Config: PolicyConfig{RulesConfig: RulesConfig{QuotaExhausted: &ClassConfig{Bound: &BoundConfig{All: &all}}}}}
}

// TestWhyNamesWhatABlockWasDecidedUnder: each with the record that defined it, whatever is
// in force since.
func TestWhyNamesWhatABlockWasDecidedUnder(t *testing.T) {
	x := newScenario(t)                             // groups 1 of record 1, policy 1 of record 2
	x.report("a1", opus, quota())                   // 5
	x.at(6*time.Minute).report("a1", opus, quota()) // 6, with the expiry before it 7
	x.do(believing(4 * time.Hour))
	x.do(suspend("a1", "claude", "by hand"))
	x.do(suspend("a1", "gemini-pro", "by hand"))
	x.do(&DefineGroups{Config: GroupsConfig{Bootstrap: PresetTwoPools}})
	x.do(believing(5 * time.Hour))
	x.report("a2", opus, banned())
	x.imports(taken(both(cools(2*time.Hour), on("a2", "gemini"))), "imported")
	versions := map[string]events.Seq{}
	for _, r := range x.recs {
		switch e := r.Event.(type) {
		case *events.PolicyDefined:
			versions[fmt.Sprint("policy ", e.Version)] = r.Seq
		case *events.GroupsDefined:
			versions[fmt.Sprint("groups ", e.Version)] = r.Seq
		}
	}
	basis := func(groups, policy uint64, step int) *Basis {
		return &Basis{
			GroupsVersion: groups, GroupsSeq: versions[fmt.Sprint("groups ", groups)],
			PolicyVersion: policy, PolicySeq: versions[fmt.Sprint("policy ", policy)], Step: step,
		}
	}
	for _, c := range []struct {
		what, account, target string
		want                  *Basis
	}{
		{"the ladder, and a suspension since", "a1", "claude", basis(1, 1, 2)},
		{"a suspension", "a1", "gemini", basis(1, 2, 0)},
		{"a hold", "a2", "*", basis(2, 3, 0)},
		{"an import", "a2", "gemini", basis(2, 3, 0)},
		{"nothing", "a1", "*", nil},
	} {
		var got *Basis
		for _, cell := range x.why(Question{Account: c.account, Target: c.target}).Cells {
			if cell.Target == c.target {
				got = cell.Basis
			}
		}
		if got != nil {
			if decided := x.recs[got.Seq-1]; decided.Account != c.account {
				t.Errorf("%s: decided by %+v", c.what, decided)
			}
			got.Seq = 0
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.what, diff)
		}
	}
}

// TestEditions: the version in force when a record was made, of those that are remembered.
func TestEditions(t *testing.T) {
	var l editions
	for v := uint64(1); v <= maxEditions+1; v++ {
		older := l
		if l = l.with(edition{v, events.Seq(10 * v)}); len(older) > 0 && older.newest() != (edition{v - 1, events.Seq(10 * (v - 1))}) {
			t.Fatalf("version %d changed what was shared", v)
		}
	}
	for seq, want := range map[events.Seq]uint64{
		0: 0, 19: 0, 20: 2, 29: 2, 30: 3, 10*maxEditions + 10: maxEditions + 1, 1 << 40: maxEditions + 1,
	} {
		if got := l.at(seq).version; got != want {
			t.Errorf("at record %d version %d was in force, want %d", seq, got, want)
		}
	}
	if len(l) != maxEditions {
		t.Errorf("%d are remembered, want %d", len(l), maxEditions)
	}
}

// TestWhyExplainsWhatIsAskedFor: the parts of an answer are the whole, in its order, under
// the same sentence.
func TestWhyExplainsWhatIsAskedFor(t *testing.T) {
	x := newScenario(t)
	for _, id := range []string{"a3", "a4", "a5"} {
		x.add(id, "antigravity")
	}
	x.report("a4", opus, quota(600))
	x.do(suspend("a3", "*", "fraud"))
	q := Question{Provider: "antigravity", Model: opus}
	whole := x.why(q)
	var parts []CellExplanation
	for q.Limit = 2; q.Skip < whole.Count; q.Skip += 2 {
		part := x.why(q)
		if part.Sentence != whole.Sentence || part.Status != whole.Status || part.Count != 5 || len(part.Cells) > 2 {
			t.Errorf("from %d on: %d of %d cells under %q", q.Skip, len(part.Cells), part.Count, part.Sentence)
		}
		parts = append(parts, part.Cells...)
	}
	show := func(cells []CellExplanation) (list []string) {
		for _, c := range cells {
			list = append(list, c.Account+" "+c.Sentence)
		}
		return list
	}
	if diff := cmp.Diff(show(whole.Cells), show(parts)); diff != "" || len(parts) != 5 {
		t.Errorf("-whole +parts:\n%s", diff)
	}
}
