package api

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
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
// discards what goes wrong with connections. If the handler is a [Server], a Shutdown
// ends its streams, and its bound of connections per peer holds.
func NewHTTPServer(h http.Handler, logger *slog.Logger) *http.Server {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		// "OPTIONS *" is a request like any other: net/http would answer it by itself.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
	}
	if s, ok := h.(*Server); ok {
		srv.RegisterOnShutdown(s.Drain)
		srv.ConnState = s.connections.state
	}
	return srv
}

type connKey struct{}

// narrow bounds what the kernel keeps of an answer that its reader does not take. Left
// to itself it keeps megabytes, and a reader that has stalled would not show for as long.
func narrow(ctx context.Context, bytes int) {
	c, _ := ctx.Value(connKey{}).(net.Conn)
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if b, ok := c.(interface{ SetWriteBuffer(bytes int) error }); ok {
		_ = b.SetWriteBuffer(bytes) // a larger buffer only keeps more
	}
}

// CheckBind refuses to listen beyond this machine without TLS, unless insecure says
// that this is wanted. addr is host:port as for net.Listen, where an empty host means
// every interface, or unix:/path, which is this machine and its owner's alone.
func CheckBind(addr string, tls, insecure bool) error {
	if strings.HasPrefix(addr, unixScheme) {
		if _, ok := SocketPath(addr); !ok {
			return fmt.Errorf("%q is no address to listen on: the path of a unix socket must be absolute", addr)
		}
		return nil
	}
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
