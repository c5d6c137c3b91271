package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	// settleTime is how long a file must stay as it is before it counts as written.
	settleTime = 150 * time.Millisecond
	// lookTime is how often the file is looked at unasked: file systems of other machines
	// tell of no changes.
	lookTime = 30 * time.Second
)

// following is the goroutine that loads the configuration when its file changes, or on
// SIGHUP. The zero value has none.
type following struct {
	hangups chan os.Signal
	end     context.CancelFunc
	ended   sync.WaitGroup
}

func (f *following) stop() {
	if f.end != nil {
		f.end()
		f.ended.Wait()
	}
}

// takeHangups makes SIGHUP mean a reload. Without a configuration file there is nothing
// to load anew, and it means what it does to most programs: the terminal is gone, and the
// daemon stops, unless nohup or the like has the signal ignored.
func (d *daemon) takeHangups(ctx context.Context) (context.Context, func()) {
	if d.settings.file.name == "" {
		if signal.Ignored(syscall.SIGHUP) {
			return ctx, func() {}
		}
		return signal.NotifyContext(ctx, syscall.SIGHUP)
	}
	d.follow.hangups = make(chan os.Signal, 1) // one that waits asks for all that follow
	signal.Notify(d.follow.hangups, syscall.SIGHUP)
	return ctx, func() { signal.Stop(d.follow.hangups) }
}

// followConfig starts to follow the configuration file, if there is one.
func (d *daemon) followConfig(context.Context) error {
	if d.settings.file.name == "" {
		return nil
	}
	name, err := filepath.Abs(d.settings.file.name)
	if err != nil {
		return err
	}
	// It ends with close, not with the signal to stop: until then requests may reload too.
	ctx, end := context.WithCancel(context.Background())
	d.follow.end = end
	w := &fileWatch{name: name, logger: d.logger}
	if err := w.open(); err != nil {
		d.logger.Warn("changes of the configuration file are noticed late: the system does not tell of them", "within", lookTime.String(), "error", err)
	}
	d.follow.ended.Go(func() {
		defer w.close()
		d.followFile(ctx, w)
	})
	return nil
}

// followFile loads the configuration on SIGHUP, and when the file is another one than was
// read last and stays so for a while: two looks must see the same.
func (d *daemon) followFile(ctx context.Context, w *fileWatch) {
	settle, look := time.NewTimer(settleTime), time.NewTicker(lookTime)
	defer settle.Stop()
	defer look.Stop()
	var seen fingerprint
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.follow.hangups:
			d.reloads.because(ctx, "SIGHUP")
		case e, open := <-w.events():
			if open && w.concerns(e) {
				settle.Reset(settleTime)
			}
		case err := <-w.errors():
			d.logger.Warn("following the configuration file", "error", err)
			settle.Reset(settleTime) // what was missed may have been its change
		case <-look.C:
			settle.Reset(settleTime)
		case <-settle.C:
			// A directory that is not there can only be looked for again.
			_ = w.follow()
			now := fingerprintOf(w.name)
			switch {
			case !d.reloads.unread(now):
			case now != seen:
				seen = now
				settle.Reset(settleTime)
			default:
				d.reloads.because(ctx, "the file changed")
			}
		}
	}
}
