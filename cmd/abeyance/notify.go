package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// What systemd is told of a service of Type=notify; see sd_notify(3).
const (
	notifyReady     = "READY=1" // also after notifyReloading
	notifyReloading = "RELOADING=1"
	notifyStopping  = "STOPPING=1"
)

// envNotify names the socket on which the service manager listens; unset: there is none,
// or it does not want to hear.
const envNotify = "NOTIFY_SOCKET"

// notify tells the service manager what the daemon is doing. That it does not get through
// is no reason to stop: the manager has a time limit of its own.
func (d *daemon) notify(state, status string) {
	socket := d.env.getenv(envNotify)
	if socket == "" {
		return
	}
	if status != "" {
		state += "\nSTATUS=" + status
	}
	if err := sendNotification(socket, state); err != nil {
		d.logger.Warn("the service manager could not be told", "state", strings.ReplaceAll(state, "\n", " "), "error", err)
	}
}

// sendNotification sends one datagram. A socket is a path, or, after an @, a name that is
// in no file system.
func sendNotification(socket, text string) error {
	if !strings.HasPrefix(socket, "/") && !strings.HasPrefix(socket, "@") {
		return fmt.Errorf("%s=%q is neither a path nor an abstract name", envNotify, socket)
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	_, err = io.WriteString(conn, text)
	return errors.Join(err, conn.Close())
}
