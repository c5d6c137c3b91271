// Package incident is a recorded incident: two days of a pool of thirty accounts of three
// providers, for tests, documents and benchmarks to look back on.
//
// Nothing of it happened. [Generate] makes it from a seed: clients send requests at the
// pace of working days, a proxy picks accounts for them with package router, and an
// upstream with quotas of its own answers as the providers do, with their statuses,
// headers and bodies. The answers are classified and decided by the engine itself, under
// a clock that the generator holds. What the log then holds is kept in testdata:
//
//	go test ./tests/incident -update
//
// makes it anew, which is needed when rules or formats change on purpose.
//
// What goes wrong in those two days, by the clock of 14 and 15 September 2026, UTC:
//
//   - quotas of model families are spent in the busy hours and come back, all the time;
//   - day 1, 08:40: an operator suspends cl-03 "for an hour", without an end, and forgets
//     it until day 2, 16:20;
//   - day 1, 11:05: ag-04 has spent the week's quota for Claude and is told to wait for
//     71 hours, but has it back after five, which a probe finds after seven;
//   - day 1, 14:10 to 15:25: the provider is short of capacity for gemini-3-pro-high;
//   - day 1, 19:47: ag-09 is banned;
//   - day 1, 13:30 to 13:34: the daemon is restarted;
//   - day 2, 06:02: the provider gives Claude quotas back days early: an operator has one
//     account checked, and clears the others in bulk;
//   - day 2, 10:32: a request that is refused whoever asks goes from account to account;
//   - day 2, 13:00: the groups are defined anew: Gemini Pro and Flash share one quota.
package incident
