package api_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/abeyance/abeyance/api"
)

// files are those of a certificate.
type files struct {
	t         testing.TB
	cert, key string
	pool      *x509.CertPool // of all that were written
}

func newFiles(t testing.TB) *files {
	dir := t.TempDir()
	return &files{t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), x509.NewCertPool()}
}

// write makes a certificate of this machine, signed by itself, that ends in some time.
func (f *files) write(serial int64, ends time.Duration) {
	f.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(ends),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		f.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		f.t.Fatal(err)
	}
	f.put(f.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	f.put(f.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
	made, err := x509.ParseCertificate(der)
	if err != nil {
		f.t.Fatal(err)
	}
	f.pool.AddCert(made)
}

// put replaces a file, as tools that renew certificates do.
func (f *files) put(path string, doc []byte) {
	f.t.Helper()
	if err := os.WriteFile(path+".new", doc, 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		f.t.Fatal(err)
	}
}

// serial is the number of the certificate that a client would be given in a while.
func serial(c *api.Certificate, later time.Duration) int64 {
	return c.Served(time.Now().Add(later)).Leaf.SerialNumber.Int64()
}

func TestCertificatesFollowTheirFiles(t *testing.T) {
	f, log := newFiles(t), new(bytes.Buffer)
	f.write(1, time.Hour)
	c, err := api.OpenCertificate(f.cert, f.key, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	f.write(2, time.Hour)
	if n := serial(c, 0); n != 1 {
		t.Errorf("the files are looked at more than once a second: %d", n)
	}
	if n := serial(c, 2*time.Second); n != 2 {
		t.Errorf("a renewed certificate is not served: %d", n)
	}
	good, err := os.ReadFile(f.key)
	if err != nil {
		t.Fatal(err)
	}
	later := 2 * time.Second
	for name, broken := range map[string][]byte{"empty": nil, "half": good[:len(good)/2], "nothing": []byte("no key")} {
		f.put(f.key, broken)
		later += 2 * time.Second
		if n := serial(c, later); n != 2 {
			t.Errorf("%s: the last good one is not served: %d", name, n)
		}
		if err := c.Reload(); err == nil || !strings.Contains(err.Error(), f.key) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if strings.Count(log.String(), "the one before stays") != 3 {
		t.Errorf("the log: %s", log)
	}
	// Half of a renewal: the certificate is there, its key not yet.
	f.put(f.key, good)
	if err := c.Reload(); err != nil {
		t.Fatal(err)
	}
	other := newFiles(t)
	other.write(3, time.Hour)
	for i, path := range []string{other.cert, other.key} {
		doc, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f.put([]string{f.cert, f.key}[i], doc)
		later += 2 * time.Second
		if n := serial(c, later); n != int64(2+i) {
			t.Errorf("after the first %d files: %d", i+1, n)
		}
	}
	f.write(4, -time.Hour)
	if err := c.Reload(); err != nil || !strings.Contains(log.String(), "has expired") {
		t.Errorf("an expired certificate: %v\n%s", err, log)
	}
	if strings.Contains(log.String(), "PRIVATE") {
		t.Error("a key is logged")
	}
}

func TestCertificateFilesThatAreRefused(t *testing.T) {
	f, other := newFiles(t), newFiles(t)
	f.write(1, time.Hour)
	other.write(2, time.Hour)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(f.key, link); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	// Tools that renew certificates keep them behind links.
	if _, err := api.OpenCertificate(f.cert, link, nil); err != nil {
		t.Errorf("a link to a key: %v", err)
	}
	for name, pair := range map[string][2]string{
		"no certificate": {filepath.Join(t.TempDir(), "none"), f.key}, "no key": {f.cert, filepath.Join(t.TempDir(), "none")},
		"of another key": {f.cert, other.key}, "a directory": {f.cert, t.TempDir()}, "exchanged": {f.key, f.cert},
	} {
		if _, err := api.OpenCertificate(pair[0], pair[1], nil); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if runtime.GOOS == "windows" {
		return // modes say nothing there
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o666} {
		if err := os.Chmod(f.key, mode); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{f.key, link} {
			if _, err := api.OpenCertificate(f.cert, path, nil); err == nil || !strings.Contains(err.Error(), "chmod 600") {
				t.Errorf("a key of the mode %o: %v", mode, err)
			}
		}
	}
	// One that systemd gives to the service, and to nobody else, shows such a mode.
	if err := os.Chmod(f.key, 0o440); err != nil {
		t.Fatal(err)
	}
	if _, err := api.OpenCertificate(f.cert, f.key, nil); err == nil {
		t.Error("a key that a group can read: taken")
	}
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Dir(f.key))
	if _, err := api.OpenCertificate(f.cert, f.key, nil); err != nil {
		t.Errorf("a credential: %v", err)
	}
}

// TestTLS over loopback: what clients are refused, what servers clients refuse, and a
// renewal while connections are open.
func TestTLS(t *testing.T) {
	b, f := newBench(t), newFiles(t)
	f.write(1, time.Hour)
	c, err := api.OpenCertificate(f.cert, f.key, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := api.NewHTTPServer(b.server.Handler(), nil)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(tls.NewListener(l, c.TLS())) }()
	t.Cleanup(func() {
		srv.Close()
		<-served
	})
	addr := l.Addr().String()
	get := func(o *tls.Config) (int64, error) {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: o, DisableKeepAlives: true}, Timeout: 20 * time.Second}
		res, err := client.Get("https://" + addr + "/healthz")
		if err != nil {
			return 0, err
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK || res.TLS.Version != tls.VersionTLS13 {
			t.Errorf("status %d over TLS %x", res.StatusCode, res.TLS.Version)
		}
		return res.TLS.PeerCertificates[0].SerialNumber.Int64(), nil
	}
	if n, err := get(&tls.Config{RootCAs: f.pool}); n != 1 {
		t.Fatal(n, err)
	}
	other := newFiles(t)
	other.write(9, time.Hour)
	for name, o := range map[string]*tls.Config{
		"TLS 1.2":             {RootCAs: f.pool, MaxVersion: tls.VersionTLS12},
		"nobody's authority":  {},
		"another authority":   {RootCAs: other.pool},
		"another host's name": {RootCAs: f.pool, ServerName: "evil.test"},
	} {
		if _, err := get(o); err == nil {
			t.Errorf("%s: a connection was made", name)
		}
	}
	if res := say(t, addr, raw("GET", "/healthz", "", "Host: "+addr)); res.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP is answered %s", res.Status)
	}
	open, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: f.pool})
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	f.write(2, time.Hour)
	if err := c.Reload(); err != nil {
		t.Fatal(err)
	}
	if n, err := get(&tls.Config{RootCAs: f.pool}); n != 2 {
		t.Errorf("after the renewal: %d, %v", n, err)
	}
	if _, err := open.Write([]byte(raw("GET", "/healthz", "", "Host: "+addr))); err != nil {
		t.Errorf("the open connection: %v", err)
	}
	f.write(3, -time.Hour)
	if err := c.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, err := get(&tls.Config{RootCAs: f.pool}); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an expired certificate: %v", err)
	}
}

// TestSlowHandshakesAreCutOff as slow headers are.
func TestSlowHandshakesAreCutOff(t *testing.T) {
	f := newFiles(t)
	f.write(1, time.Hour)
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		c, err := api.OpenCertificate(f.cert, f.key, nil)
		if err != nil {
			t.Fatal(err)
		}
		l := &live{b, api.NewHTTPServer(b.server.Handler(), nil), &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}}
		go l.http.Serve(tls.NewListener(l.net, c.TLS()))
		defer l.http.Close()
		for _, begin := range []string{"", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"} {
			conn := l.dial("192.0.2.1:1")
			var dripping sync.WaitGroup
			dripping.Go(func() { drip(conn, begin) })
			if _, took := untilClosed(conn); took < 4*time.Second || took > 6*time.Second {
				t.Errorf("%q: cut off after %s, want 5 s", begin, took)
			}
			dripping.Wait()
		}
	})
}
