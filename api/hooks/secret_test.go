package hooks

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// published is the example of the scheme's own libraries, which they all test against.
const (
	publishedSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	publishedID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	publishedTime      = 1614265330
	publishedBody      = `{"test": 2432232314}`
	publishedSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

func mustSecret(t testing.TB, text string) Secret {
	t.Helper()
	s, err := ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSignatureIsThatOfTheScheme(t *testing.T) {
	s := mustSecret(t, publishedSecret)
	if got := s.sign(publishedID, time.Unix(publishedTime, 0), []byte(publishedBody)); got != publishedSignature {
		t.Errorf("signed as %s, want %s", got, publishedSignature)
	}
	for name, got := range map[string]string{
		"id":   s.sign("msg_other", time.Unix(publishedTime, 0), []byte(publishedBody)),
		"time": s.sign(publishedID, time.Unix(publishedTime+1, 0), []byte(publishedBody)),
		"body": s.sign(publishedID, time.Unix(publishedTime, 0), []byte(publishedBody+" ")),
	} {
		if got == publishedSignature {
			t.Errorf("another %s has the same signature", name)
		}
	}
}

func TestEachSecretSigns(t *testing.T) {
	other := secretPrefix + base64.StdEncoding.EncodeToString(make([]byte, 32))
	s := mustSecret(t, "\n"+publishedSecret+"\r\n"+other+"\n")
	got := strings.Split(s.sign(publishedID, time.Unix(publishedTime, 0), []byte(publishedBody)), " ")
	if len(got) != 2 || got[0] != publishedSignature || got[1] == got[0] || !strings.HasPrefix(got[1], "v1,") {
		t.Errorf("signed as %q", got)
	}
}

func TestSecretsAreRefused(t *testing.T) {
	of := func(n int) string { return secretPrefix + base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for text, want := range map[string]string{
		"":                             "there are 0 secrets",
		"\n\n":                         "there are 0 secrets",
		"hunter2":                      "must begin with whsec_",
		"whsec_***":                    "not base64",
		of(23):                         "24 to 64",
		of(65):                         "24 to 64",
		strings.Repeat(of(24)+"\n", 5): "at most 4",
	} {
		_, err := ParseSecret(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" && err != nil && strings.Contains(err.Error(), strings.TrimPrefix(line, secretPrefix)) {
				t.Errorf("the error %q shows the secret", err)
			}
		}
	}
	for _, n := range []int{24, 64} {
		if _, err := ParseSecret(of(n)); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestASecretIsNeverShown(t *testing.T) {
	h := Hook{Name: "ops", Secret: mustSecret(t, publishedSecret)}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", h.Secret, "hook", fmt.Sprintf("%v %+v %#v %s", h, h, h, h.Secret))
	key := strings.TrimPrefix(publishedSecret, secretPrefix)
	raw, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{key, fmt.Sprint(raw)[1:20], fmt.Sprintf("%#v", raw)[10:40]} {
		if strings.Contains(log.String(), form) {
			t.Errorf("the log shows the secret: %s", log.String())
		}
	}
}

func TestReadSecretWantsAPrivateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if _, err := ReadSecret(path); err == nil {
		t.Error("a file that is not there is read")
	}
	if err := os.WriteFile(path, []byte(publishedSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := ReadSecret(path)
	if err != nil || !s.Equal(mustSecret(t, publishedSecret)) {
		t.Errorf("read %v", err)
	}
	if err := os.WriteFile(path, []byte("whsec_x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadSecret(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one that names the file", err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for _, mode := range []os.FileMode{0o640, 0o604} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadSecret(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	// One that systemd gives to the service, and to nobody else, shows such a mode.
	if err := os.WriteFile(path, []byte(publishedSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o440); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Dir(path))
	if _, err := ReadSecret(path); err != nil {
		t.Errorf("a credential: %v", err)
	}
}

// TestReadSecretFollowsLinks: a directory of secrets may be turned at once by a link.
func TestReadSecretFollowsLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("making links is a privilege there")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(publishedSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"link": "turned", "turned": "secret", "astray": "nowhere", "ring": "ring"} {
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := ReadSecret(filepath.Join(dir, "link")); err != nil || !s.Equal(mustSecret(t, publishedSecret)) {
		t.Errorf("through two links: %v", err)
	}
	for _, name := range []string{"astray", "ring"} {
		if _, err := ReadSecret(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is read", name)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadSecret(filepath.Join(dir, "link")); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a link to what all can read: %v", err)
	}
}
