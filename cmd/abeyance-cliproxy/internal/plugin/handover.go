package plugin

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/abeyance/abeyance/events/sidecar"
)

// A host that loads a newer version of a plugin while it runs forgets the older one, but
// does not end it: both are in its process, and the older one has the log open. The
// newer one asks for it with a file in the data directory, and the older one, which
// looks for that every second, closes the log and does nothing more. Only one of the
// same process gives it up.
//
//	handover: PID ID

// handoverFile is the name of the file.
const handoverFile = "handover"

// askFor asks another plugin of this process for a log that it has open.
func (p *Plugin) askFor(dir string) {
	line := fmt.Appendf(nil, "%d %s\n", os.Getpid(), p.id)
	if err := sidecar.Write(filepath.Join(dir, handoverFile), line); err != nil {
		p.logger.Warn("another version of this plugin cannot be asked for the log", "error", err)
	}
}

// isAskedFor reports whether another plugin of this process asks for a log.
func (p *Plugin) isAskedFor(dir string) bool {
	line, err := sidecar.Read(filepath.Join(dir, handoverFile))
	return err == nil && bytes.HasPrefix(line, fmt.Appendf(nil, "%d ", os.Getpid())) && !bytes.Contains(line, []byte(p.id))
}

// take removes what asked for a log that is open now.
func (p *Plugin) take(dir string) {
	if err := os.Remove(filepath.Join(dir, handoverFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		p.logger.Warn("the file that asked for the log is left", "error", err)
	}
}

// handOver gives the log up: the host has loaded another version. The caller holds p.mu.
func (p *Plugin) handOver() {
	p.logger.Info("the log is handed over to the version that the host has loaded since")
	p.shut()
	p.config.Store(nil)
	p.core.Store(nil)
}
