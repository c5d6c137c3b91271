package api

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// Bounds of a connection. A client that is slower is cut off.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	idleTimeout       = 60 * time.Second
	// writeTimeout bounds an answer from the first byte written; see exchange.Write.
	writeTimeout   = 10 * time.Second
	maxHeaderBytes = 16 << 10
)

// NewHTTPServer returns a server for a handler with every bound set. A nil logger
// discards what goes wrong with connections.
func NewHTTPServer(h http.Handler, logger *slog.Logger) *http.Server {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}

// CheckBind refuses to listen beyond this machine without TLS, unless insecure says
// that this is wanted. addr is host:port as for net.Listen; an empty host means
// every interface.
func CheckBind(addr string, tls, insecure bool) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is no address to listen on: write host:port", addr)
	}
	if loopback(host) || tls || insecure {
		return nil
	}
	if host == "" {
		host = "every interface"
	}
	return fmt.Errorf("listening on %s would send tokens over the network in clear: listen on 127.0.0.1, or turn TLS on", host)
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
