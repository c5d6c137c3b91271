// Package linear checks that concurrent commands, reports and picks look as if they had
// happened one after another, each at an instant between its call and its answer, on a
// log whose appends fail, stall and get lost, and with engines that stop and are opened
// anew on it.
//
// Eight clients work on a few accounts and note what they asked, what they were told,
// and when. Porcupine then looks for an order that explains all the answers, account by
// account: the cells of an account are judged together, since an answer may depend on
// more than one of them, and no command here reaches further. The model that says what
// an answer must be is written from the rules (1, 2, 4, 5, 19, 20, 24, 25, 27 and 28), and
// shares no code with what it judges.
//
// What commands say of the log is part of their answers: records must have been written
// in the order that explains the answers, and a lease names the snapshot that it was
// picked from. Reports are dated by such leases, or by nothing.
//
// Left out is what time or chance decides: the clock stands still, so that no cooldown
// ends, no probe is due and no report is dated by its start; limits carry a hint of one
// or of two hours, so that jitter does not decide which is longer. Rechecks, timed
// suspensions, definitions and commands on many accounts are left to other tests.
//
// The faults are those of the log's contract and of the engine's: an append that finds
// the disk full; one that fails, having stored its records or not, after which the
// engine stops and the commands under way are pending until the log is opened anew; an
// engine that is closed amid commands; appends that take their time, before or after
// the records are stored; a queue that is full; callers that give up. While the log
// cannot be written picks go on, and are judged like all others: nothing newer than
// what they answer from has been acknowledged. What the router remembers of limits that
// could not be recorded is part of the model, but for one thing: an answer that rests on
// it is judged by it alone.
//
// A loop of faults proves something only if the faults fire and violations are seen: it
// prints its seed and how many fired, and each way of breaking the promise in
// control_test.go must be caught. The long form is
//
//	go test ./tests/linear -v -timeout 1h -histories 200
//
// A run is repeated with -seed. What clients do follows from the seed; how they
// interleave is up to the machine. A history that nothing explains is described in the
// output, and drawn in a file of the test's artifacts, which go test -artifacts keeps.
package linear
