package identity

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
)

const mail = "claude-bob@example.com.json"

func TestRule35EMailsAreStoredAsPseudonyms(t *testing.T) {
	b := New()
	if err := b.Add(mail, "plain"); err != nil {
		t.Fatal(err)
	}
	stored := b.Stored(mail)
	if !regexp.MustCompile(`^acct_[0-9a-f]{20}$`).MatchString(stored) {
		t.Errorf("stored as %q", stored)
	}
	if got := b.Given(stored); got != mail {
		t.Errorf("given back as %q", got)
	}
	if b.Stored("plain") != "plain" || b.Given("plain") != "plain" {
		t.Error("an id without an e-mail address is not kept as it is")
	}
	if New().Stored(mail) == stored {
		t.Error("two books give the same pseudonym: the key is not random")
	}
}

// TestIDsOfAPIKeys: CLIProxyAPI names an API key by a hash of it, which the log refuses.
func TestIDsOfAPIKeys(t *testing.T) {
	b := New()
	const key = "claude:apikey:1c6c48ab1f94"
	if err := b.Add(key); err != nil {
		t.Fatal(err)
	}
	stored := b.Stored(key)
	if !strings.HasPrefix(stored, Prefix) || b.Given(stored) != key {
		t.Errorf("stored as %q, given back as %q", stored, b.Given(stored))
	}
}

func TestAnIDNeverSeen(t *testing.T) {
	b := New()
	stored := b.Stored(mail)
	if b.Given(stored) != stored {
		t.Error("an id without an entry is known")
	}
	if err := b.Add(mail); err != nil {
		t.Fatal(err)
	}
	if b.Stored(mail) != stored || b.Given(stored) != mail {
		t.Error("the entry is not what was foretold")
	}
}

func TestANilBookKeepsIDs(t *testing.T) {
	var b *Book
	if b.Stored(mail) != mail || b.Given("acct_x") != "acct_x" || b.Add(mail) != nil {
		t.Error("a nil book changes ids")
	}
}

func TestBookSurvivesItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("an empty book has a file: %v", err)
	}
	if err := b.Add(mail, "bob@other.example"); err != nil {
		t.Fatal(err)
	}
	again, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{mail, "bob@other.example"} {
		if again.Stored(id) != b.Stored(id) || again.Given(b.Stored(id)) != id {
			t.Errorf("%q is not known again", id)
		}
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 1 {
		t.Errorf("files %v", left)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	b, err := Open(good)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Add(mail); err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, doc := range map[string]string{
		"empty": "", "cut": string(doc[:len(doc)/2]), "another version": strings.Replace(string(doc), `"version": 1`, `"version": 2`, 1),
		"another id": strings.Replace(string(doc), "bob@", "eve@", 1), "no key": `{"version": 1, "accounts": {}}`,
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want one that names the file", name, err)
		}
	}
	if _, err := Open(dir); err == nil {
		t.Error("a directory is taken")
	}
	if runtime.GOOS == "windows" {
		return
	}
	if err := os.Chmod(good, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(good); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others may read: %v", err)
	}
}

func TestAddFailsWholeOrNotAtAll(t *testing.T) {
	b, err := Open(filepath.Join(t.TempDir(), "missing", FileName))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Add(mail); err == nil {
		t.Fatal("an entry that cannot be written is taken")
	}
	if stored := b.Stored(mail); b.Given(stored) != stored {
		t.Error("an entry that is not durable is known")
	}
	if err := b.Add("plain"); err != nil {
		t.Errorf("an id that needs no entry is written: %v", err)
	}
}

// The usual report names an account that is known: that must cost nothing.
func TestAddingAKnownIDIsFree(t *testing.T) {
	b := New()
	if err := b.Add(mail); err != nil {
		t.Fatal(err)
	}
	ids := []string{mail, "plain"}
	if n := testing.AllocsPerRun(100, func() {
		if err := b.Add(ids...); err != nil {
			t.Error(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestConcurrentAdds(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 5 {
				id := fmt.Sprintf("u%d@x%d.example", j, i%4)
				if err := b.Add(id); err != nil {
					t.Error(err)
				}
				if b.Given(b.Stored(id)) != id {
					t.Errorf("%s is not known after Add", id)
				}
			}
		})
	}
	wg.Wait()
	again, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(again.names.Load().given); n != 20 {
		t.Errorf("%d entries, want 20", n)
	}
}

// TestForget: the entry goes, of memory and of the file, by either id, and all else
// stays, so that the same id is stored alike for ever.
func TestForget(t *testing.T) {
	for _, by := range []string{"given", "stored"} {
		path := filepath.Join(t.TempDir(), FileName)
		b, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		const other = "bob@other.example"
		if err := b.Add(mail, other); err != nil {
			t.Fatal(err)
		}
		stored := b.Stored(mail)
		id := mail
		if by == "stored" {
			id = stored
		}
		if !b.Known(id) {
			t.Errorf("by its %s id it is not known", by)
		}
		if done, err := b.Forget(id); !done || err != nil {
			t.Fatalf("by its %s id: %v, %v", by, done, err)
		}
		doc, err := os.ReadFile(path)
		if err != nil || strings.Contains(string(doc), "claude-bob") || strings.Contains(string(doc), stored) || !strings.Contains(string(doc), other) {
			t.Errorf("the file is %s, %v", doc, err)
		}
		again, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range []*Book{b, again} {
			if b.Given(stored) != stored || b.Stored(mail) != stored || b.Known(mail) || b.Known(stored) || b.Given(b.Stored(other)) != other {
				t.Errorf("by its %s id: %q is given for it", by, b.Given(stored))
			}
		}
		if done, err := b.Forget(id); done || err != nil {
			t.Errorf("a second time: %v, %v", done, err)
		}
		if err := b.Add(mail); err != nil || b.Stored(mail) != stored || b.Given(stored) != mail {
			t.Errorf("named again it is not known again: %v", err)
		}
	}
}

func TestForgetNothing(t *testing.T) {
	var none *Book
	for _, b := range []*Book{none, New()} {
		for _, id := range []string{"", "plain", mail, "acct_0123456789abcdef0123"} {
			if done, err := b.Forget(id); done || err != nil || b.Known(id) {
				t.Errorf("%q: %v, %v", id, done, err)
			}
		}
	}
}
