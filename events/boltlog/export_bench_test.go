package boltlog

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/ndjson"
)

// BenchmarkExport writes a log to a file as lines of JSON, as the command line does of a
// stopped daemon's. floor/s is the rate of a cursor scan with SHA-256 of the same bytes,
// which writes nothing; ratio is that of the export in parts of it. The log is in the
// page cache.
func BenchmarkExport(b *testing.B) {
	dir := bigLog(b)
	floor := scanFloor(b, filepath.Join(dir, nameLog))
	l := mustOpen(b, dir, nil)
	name := filepath.Join(b.TempDir(), "export.ndjson")
	var own time.Duration
	for b.Loop() {
		start := time.Now()
		if err := exportTo(b, l, name); err != nil {
			b.Fatal(err)
		}
		own += time.Since(start)
	}
	info, err := os.Stat(name)
	if err != nil {
		b.Fatal(err)
	}
	records := float64(*benchRecords)
	b.ReportMetric(records*float64(b.N)/own.Seconds(), "records/s")
	b.ReportMetric(records/floor.Seconds(), "floor/s")
	b.ReportMetric(floor.Seconds()*float64(b.N)/own.Seconds(), "ratio")
	b.ReportMetric(float64(info.Size())/records, "B/record")
}

func exportTo(b *testing.B, l *Log, name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	head := *l.head.Load()
	w := ndjson.NewWriter(f, ndjson.Header{Log: head.Log, First: 1, Prev: l.base.Hash, Last: head.Seq})
	err = l.Scan(b.Context(), 0, head.Seq, func(recs []events.Record) error {
		for i := range recs {
			if err := w.Write(recs[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.Close()
}
