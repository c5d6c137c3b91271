package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
)

func newRestoreCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE|- --data-dir DIR",
		Short: "Make a data directory from a backup",
		Long: `Make the data directory from a backup, read from FILE or stdin. The directory must be
empty, or not exist while its parent does. The log appears in it when every record has
been checked; until then, and when anything is wrong, the directory holds none.

Put the identities.json that was kept with the backup into the directory before the
daemon is started.`,
		Example: `  abeyance restore abeyance.db --data-dir ./restored
  gunzip < abeyance.db.gz | abeyance restore - --data-dir ./unpacked`,
		Args: arguments(1, 1, "one FILE, or - for stdin"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if env.dataDir == "" {
				return usage("where to? Name an empty directory with --data-dir (%s)", envDataDir)
			}
			if args[0] == "-" && isTerminal(env.in) {
				return usage("a backup does not come from a terminal: name a file, or read it from a pipe")
			}
			head, err := env.restore(cmd.Context(), args[0])
			if _, full := errors.AsType[*boltlog.NotEmptyError](err); full {
				return &exitError{exitConflict, err}
			}
			if err != nil {
				return err
			}
			env.say("Put the identities.json that was kept with the backup into it, then:\n  abeyance serve --data-dir %s", env.dataDir)
			answer := newBackupAnswer(env.dataDir, head)
			return env.print(answer, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "restore ok: log %s, %d records, head %s, in %s\n", answer.LogID, answer.Seq, answer.Hash, env.dataDir)
				return err
			})
		},
	}
}

func (env *environment) restore(ctx context.Context, name string) (events.Head, error) {
	from, size := env.in, int64(0)
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return events.Head{}, err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return events.Head{}, err
		}
		from, size = f, info.Size()
	}
	reading, checking := env.newProgress("reading the backup"), env.newProgress("checking the backup")
	defer checking.done()
	counted := &countingReader{r: from, each: func(n uint64) { reading.reach(n, uint64(size)) }}
	return boltlog.Restore(ctx, counted, env.dataDir, func(done, total events.Seq) {
		if reading.shown {
			reading.done()
			reading.shown = false
		}
		checking.reach(uint64(done), uint64(total))
	})
}
