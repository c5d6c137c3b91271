package boltlog

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/abeyance/abeyance/events"
)

// TestScanEndsEarly ends scans while everything that reads ahead has gone as far as it
// can: by an error of the caller's, and by the context. Neither may hang.
func TestScanEndsEarly(t *testing.T) {
	dir, head := newLog(t, 40*pageRows)
	l := mustOpen(t, dir, nil)
	own := errors.New("enough")
	synctest.Test(t, func(t *testing.T) {
		_, err := l.scan(t.Context(), span{from: l.base, last: head.Seq}, func([]events.Record) error {
			synctest.Wait()
			return own
		})
		if !errors.Is(err, own) {
			t.Errorf("got the error %v, want the caller's", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, err = l.scan(ctx, span{from: l.base, last: head.Seq}, func([]events.Record) error {
			synctest.Wait()
			cancel()
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got the error %v, want that of the context", err)
		}
	})
}
