package main

import (
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// fileWatch hears of changes of one file, however it is changed: written in place,
// replaced by another of its name, as editors do, or by turning a symbolic link on the way
// to it, as Kubernetes does. It watches the directories of the file and of every link on
// the way. Without a watcher it hears of nothing.
type fileWatch struct {
	name    string // absolute
	logger  *slog.Logger
	watcher *fsnotify.Watcher
	// places :: path of the file, or of a link on the way to it
	places map[string]bool
}

func (w *fileWatch) open() (err error) {
	if w.watcher, err = fsnotify.NewWatcher(); err != nil {
		w.watcher = nil
		return err
	}
	return w.follow()
}

func (w *fileWatch) close() {
	if w.watcher != nil {
		w.watcher.Close() // all that it could tell is of no more use
	}
}

func (w *fileWatch) events() <-chan fsnotify.Event {
	if w.watcher == nil {
		return nil
	}
	return w.watcher.Events
}

func (w *fileWatch) errors() <-chan error {
	if w.watcher == nil {
		return nil
	}
	return w.watcher.Errors
}

// concerns reports whether an event is about the file or the way to it. Its directory may
// be a busy one, such as that of the log.
func (w *fileWatch) concerns(e fsnotify.Event) bool {
	return w.places[e.Name] && e.Op != fsnotify.Chmod
}

// follow watches the way to the file as it is now.
func (w *fileWatch) follow() error {
	if w.watcher == nil {
		return nil
	}
	w.places = wayTo(w.name)
	dirs := map[string]bool{}
	for place := range w.places {
		dirs[filepath.Dir(place)] = true
	}
	for _, dir := range w.watcher.WatchList() {
		if !dirs[dir] {
			// It is most often gone, and then nothing is watched any more either.
			_ = w.watcher.Remove(dir)
		}
	}
	var errs []error
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		errs = append(errs, w.watcher.Add(dir))
	}
	return errors.Join(errs...)
}

// maxLinks bounds the links that are followed, as the system does.
const maxLinks = 40

// wayTo returns the path of a file and of every symbolic link that leads to it.
func wayTo(name string) map[string]bool {
	places := map[string]bool{name: true}
	rest := strings.Split(filepath.ToSlash(name), "/")
	at := rest[0] + string(filepath.Separator) // the root, or that of a drive
	rest = rest[1:]
	for links := 0; len(rest) > 0; {
		place := filepath.Join(at, rest[0])
		target, err := os.Readlink(place)
		if err != nil || links == maxLinks {
			at, rest = place, rest[1:]
			continue
		}
		links++
		places[place] = true
		if !filepath.IsAbs(target) {
			target = filepath.Join(at, target)
		}
		parts := strings.Split(filepath.ToSlash(filepath.Clean(target)), "/")
		at, rest = parts[0]+string(filepath.Separator), append(parts[1:], rest[1:]...)
	}
	places[at] = true
	return places
}
