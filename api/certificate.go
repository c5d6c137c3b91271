package api

import (
	"crypto/tls"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/abeyance/abeyance/events/sidecar"
)

// certificateLook is how often the files of a certificate are looked at, at most.
const certificateLook = time.Second

// Certificate is a server's certificate, which follows its files: a renewed one is
// served to the next client, without a restart. What cannot be read is logged, and the
// certificate before it stays. All methods may be called from several goroutines.
type Certificate struct {
	cert, key string // paths
	logger    *slog.Logger

	mu     sync.Mutex
	loaded *tls.Certificate
	stamps [2]fs.FileInfo // of the files as they were last tried; nil: there was none
	looked time.Time      // when
	failed bool           // and they could not be read
}

// OpenCertificate reads PEM files of a certificate chain and its private key. The key's
// file must be one that only its owner can use; links are followed, as tools that renew
// certificates make them. A nil logger discards what goes wrong later.
func OpenCertificate(cert, key string, logger *slog.Logger) (*Certificate, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	c := &Certificate{cert: cert, key: key, logger: logger}
	return c, c.Reload()
}

// Reload reads the files now. After an error the certificate before it is still served.
func (c *Certificate) Reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reload(time.Now())
}

// reload reads the files. The caller holds c.mu.
func (c *Certificate) reload(now time.Time) error {
	c.looked, c.stamps = now, c.look()
	pair, err := readPair(c.cert, c.key)
	if c.failed = err != nil; c.failed {
		return err
	}
	if c.loaded != nil {
		c.logger.Info("the certificate was read anew", "file", c.cert, "not_after", pair.Leaf.NotAfter)
	}
	if now.After(pair.Leaf.NotAfter) {
		c.logger.Warn("the certificate has expired: clients will refuse it", "file", c.cert, "not_after", pair.Leaf.NotAfter)
	}
	c.loaded = pair
	return nil
}

// look returns what the files are now.
func (c *Certificate) look() (now [2]fs.FileInfo) {
	for i, path := range []string{c.cert, c.key} {
		if info, err := os.Stat(path); err == nil {
			now[i] = info
		}
	}
	return now
}

// replaced reports whether a file is another one, or was written since.
func replaced(was, is fs.FileInfo) bool {
	if was == nil || is == nil {
		return was != is
	}
	return !os.SameFile(was, is) || !was.ModTime().Equal(is.ModTime()) || was.Size() != is.Size()
}

// current returns the certificate to serve at a moment.
func (c *Certificate) current(now time.Time) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.looked) < certificateLook {
		return c.loaded
	}
	// Of two files one is written first, and both within one tick of the clock that dates
	// files, perhaps: what could not be read is tried again until it can.
	is := c.look()
	changed := replaced(c.stamps[0], is[0]) || replaced(c.stamps[1], is[1])
	if c.looked = now; !changed && !c.failed {
		return c.loaded
	}
	if err := c.reload(now); err != nil && changed {
		c.logger.Error("the certificate cannot be read; the one before stays", "error", err)
	}
	return c.loaded
}

// TLS returns the configuration of a server with this certificate: TLS 1.3.
func (c *Certificate) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(time.Now()), nil },
	}
}

// readPair reads a certificate and its key.
func readPair(cert, key string) (*tls.Certificate, error) {
	chain, err := os.ReadFile(cert)
	if err != nil {
		return nil, fmt.Errorf("the certificate: %w", err)
	}
	secret, err := readKey(key)
	if err != nil {
		return nil, fmt.Errorf("the certificate's key: %w", err)
	}
	pair, err := tls.X509KeyPair(chain, secret)
	if err != nil {
		return nil, fmt.Errorf("the certificate %s and the key %s: %w", cert, key, err)
	}
	return &pair, nil
}

// maxKey bounds the file of a key, in bytes.
const maxKey = 1 << 20

// readKey reads a file that only its owner may use.
func readKey(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := sidecar.CheckPrivate(f, path); err != nil {
		return nil, err
	}
	doc, err := io.ReadAll(io.LimitReader(f, maxKey))
	if err != nil {
		return nil, err
	}
	if len(doc) == 0 {
		return nil, fmt.Errorf("%s is empty", path)
	}
	return doc, nil
}
