package api

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// unixScheme begins an address that is the path of a unix socket.
const unixScheme = "unix:"

// SocketPath returns the path of the unix socket that an address names, as
// unix:/run/abeyance/socket does. It must be absolute.
func SocketPath(addr string) (path string, ok bool) {
	path, ok = strings.CutPrefix(addr, unixScheme)
	return path, ok && filepath.IsAbs(path)
}

// maxSocketPath is what every system takes.
const maxSocketPath = 100

// Listen listens on host:port, or on a unix socket, unix:/path. The socket is for its
// owner alone: it has the mode 0600 in a directory of the mode 0700, which is made if
// its parent exists, and connections of other users but root are closed unread. A socket
// on which nobody listens any more is replaced. A nil logger discards what is refused.
func Listen(addr string, logger *slog.Logger) (net.Listener, error) {
	if !strings.HasPrefix(addr, unixScheme) {
		return net.Listen("tcp", addr)
	}
	path, ok := SocketPath(addr)
	switch {
	case !ok:
		return nil, fmt.Errorf("%q: the path of a unix socket must be absolute", addr)
	case len(path) > maxSocketPath:
		return nil, fmt.Errorf("the path of the unix socket has %d bytes; at most %d", len(path), maxSocketPath)
	}
	if err := checkUsers(); err != nil {
		return nil, err
	}
	if err := privateDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if err := clearSocket(path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &ownerListener{UnixListener: l, logger: logger}, nil
}

// privateDir refuses a directory in which others could put a socket of theirs.
func privateDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("the directory of the unix socket: %w", err)
	}
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return fmt.Errorf("the directory of the unix socket: %w", err)
	case !info.IsDir():
		return fmt.Errorf("the directory of the unix socket, %s, is none; links are not followed", dir)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("the directory of the unix socket, %s, is open to others (its mode is %04o): run chmod 700 on it, or name one of its own",
			dir, info.Mode().Perm())
	}
	return ownedByUs(dir, info)
}

// clearSocket removes the socket that a crash left, and nothing else.
func clearSocket(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there, and is no socket: name another path", path)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		return errors.Join(fmt.Errorf("somebody listens on %s already", path), c.Close())
	}
	return os.Remove(path)
}

// ownerListener accepts the connections of the user that the process runs as, and of
// root, who can become that user.
type ownerListener struct {
	*net.UnixListener
	logger *slog.Logger
	said   allowance
}

// Accept implements net.Listener.
func (l *ownerListener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		uid, err := peerUser(c)
		if err == nil && (uid == os.Geteuid() || uid == 0) {
			return c, nil
		}
		_ = c.Close() // whoever it is gets no answer
		l.tell(uid, err, time.Now())
	}
}

// tell logs a connection that was refused, one in a while: it is of a user, or of nobody
// knows whom.
func (l *ownerListener) tell(uid int, unknown error, now time.Time) {
	switch {
	case l.said.take(pace{every: refusalEvery, burst: 1}, now) != 0:
	case unknown != nil:
		l.logger.Warn("a connection was refused: the system does not say whose it is", "error", unknown)
	default:
		l.logger.Warn("a connection of another user was refused", "uid", uid)
	}
}
