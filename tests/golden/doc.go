// Package golden keeps data directories of each release, as it left them, and checks that
// this version reads them as that one did: every record under its hash, and the state
// that they fold to, to the byte of the canonical dump.
//
// testdata holds, per release, NAME.tar.gz, the directory with log.db, head, index and
// checkpoints, and NAME.stateN.gz, the dump of its state in the format N. A directory has
// every kind of record with every field filled, of a seeded generator in this package
// that works with real commands; the log's id and those of two commands are of chance.
//
//	go test ./tests/golden -update
//
// writes what is missing, and never changes what is there: logs of released versions are
// for ever. Only before the release it is named after may a directory be deleted and made
// anew. A new kind of record, or a new field, makes the newest directory incomplete: then
// the constant release gets the name of the next one. A new format of the dump adds a
// NAME.stateN.gz to each.
package golden
