package ui

import "testing"

// What took less than a second did not take one.
func TestFiguresOfShortTimes(t *testing.T) {
	all, err := catalogues()
	if err != nil {
		t.Fatal(err)
	}
	p := &page{dash: &Dashboard{texts: all}, Lang: "en"}
	for f, want := range map[figure]string{
		{Value: 0.0213, Unit: "s"}:     "0.02 s",
		{Value: 59.5, Unit: "s"}:       "59.50 s",
		{Value: 60, Unit: "s"}:         "1 min 0 s",
		{Value: 90_000, Unit: "s"}:     "1 d 1 h",
		{Value: 3 << 20, Unit: "B"}:    "3.0 MiB",
		{Value: 7, Unit: "", Key: "k"}: "7",
	} {
		if got := p.Figure(f); got != want {
			t.Errorf("%v is %q, not %q", f, got, want)
		}
	}
}
