package api_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/abeyance/abeyance/api"
)

func TestFirstStartMakesOneAdminToken(t *testing.T) {
	dir := t.TempDir()
	tokens, created, err := api.OpenTokens(dir)
	if err != nil || !created {
		t.Fatal(created, err)
	}
	plain, err := os.ReadFile(filepath.Join(dir, api.TokenFile))
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSuffix(string(plain), "\n")
	if !strings.HasPrefix(token, "aby_") || !api.WellFormed(token) {
		t.Errorf("token %q", token)
	}
	list := tokens.List()
	if len(list) != 1 || list[0].Name != "admin" || len(list[0].Scopes) != 1 || list[0].Scopes[0] != api.ScopeAdmin {
		t.Errorf("%+v", list)
	}
	doc, err := os.ReadFile(filepath.Join(dir, api.TokensFile))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(doc), token) || strings.Contains(string(doc), token[4:]) {
		t.Error("tokens.json holds a token in clear")
	}
	if runtime.GOOS != "windows" {
		for _, name := range []string{api.TokenFile, api.TokensFile} {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", name, info.Mode(), err)
			}
		}
	}
	if again, created, err := api.OpenTokens(dir); err != nil || created || len(again.List()) != 1 {
		t.Errorf("opened again: %v, %v", created, err)
	}
}

func TestTokensOutliveARestart(t *testing.T) {
	dir := t.TempDir()
	tokens, _, err := api.OpenTokens(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Create("proxy-1", []api.Scope{api.ScopeRoute}); err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Create("old", []api.Scope{api.ScopeRead}); err != nil {
		t.Fatal(err)
	}
	if err := tokens.Delete("old"); err != nil {
		t.Fatal(err)
	}
	again, _, err := api.OpenTokens(dir)
	if err != nil {
		t.Fatal(err)
	}
	if list := again.List(); len(list) != 2 || list[0].Name != "admin" || list[1].Name != "proxy-1" {
		t.Errorf("%+v", list)
	}
}

func TestTokenFilesThatAreRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // modes and symbolic links say nothing there
	}
	target := filepath.Join(t.TempDir(), "victim")
	for name, prepare := range map[string]func(dir string) error{
		"a symbolic link for the token": func(dir string) error { return os.Symlink(target, filepath.Join(dir, api.TokenFile)) },
		"a token made by somebody else": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, api.TokenFile), []byte("aby_known"), 0o600)
		},
		"readable by others": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, api.TokensFile), []byte(`{"version":1}`), 0o644)
		},
		"damaged": func(dir string) error { return os.WriteFile(filepath.Join(dir, api.TokensFile), []byte(`{`), 0o600) },
		"of a later version": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, api.TokensFile), []byte(`{"version":2}`), 0o600)
		},
		"with a hash of the wrong length": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, api.TokensFile), []byte(`{"version":1,"tokens":[{"sha256":"00"}]}`), 0o600)
		},
		"a symbolic link for the list": func(dir string) error {
			return os.Symlink(target, filepath.Join(dir, api.TokensFile))
		},
	} {
		dir := t.TempDir()
		if err := prepare(dir); err != nil {
			t.Fatal(err)
		}
		if _, _, err := api.OpenTokens(dir); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := os.Stat(target); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%s: a symbolic link was followed", name)
		}
	}
}

// The token in clear is refused too where others can read it; its absence is no fault.
func TestTheTokenFileIsPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // modes say nothing there
	}
	dir := t.TempDir()
	if _, _, err := api.OpenTokens(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, api.TokenFile)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := api.OpenTokens(dir); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a token that others can read: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, created, err := api.OpenTokens(dir); err != nil || created {
		t.Errorf("without the token's file: %v, %v", created, err)
	}
}

func TestAFileForADataDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := api.OpenTokens(path); err == nil || !strings.Contains(err.Error(), path+" is a file: name a directory") {
		t.Errorf("the error is %v", err)
	}
}

func TestTheLastAdminTokenStays(t *testing.T) {
	b := newBench(t)
	if err := b.tokens.Delete("admin"); !errors.Is(err, api.ErrLastAdmin) {
		t.Fatal(err)
	}
	second := decode[api.TokenCreated](b.post("/v1/tokens", `{"name":"second","scopes":["admin"]}`).want(http.StatusOK))
	b.do(request{method: http.MethodDelete, path: "/v1/tokens/admin"}).want(http.StatusOK)
	b.get("/v1/head").problem(http.StatusUnauthorized, "unauthorized")
	b.token["admin"] = second.Token
	b.get("/v1/head").want(http.StatusOK)
	b.do(request{method: http.MethodDelete, path: "/v1/tokens/second"}).problem(http.StatusConflict, "last_admin_token")
}

func TestTokensAtOnce(t *testing.T) {
	b := newBench(t)
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		wg.Go(func() {
			if _, err := b.tokens.Create(name, []api.Scope{api.ScopeRead}); err != nil {
				t.Error(err)
			}
			if err := b.tokens.Delete(name); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(b.tokens.List()); n != 4 {
		t.Errorf("%d tokens", n)
	}
}

func TestTokenRowsHoldNoSecret(t *testing.T) {
	b := newBench(t)
	a := b.get("/v1/tokens").want(http.StatusOK)
	if list := decode[api.TokensAnswer](a); list.AsOfSeq != uint64(len(b.records())) || !list.Now.Equal(start()) || list.NextPageToken != nil {
		t.Errorf("the list is not framed as every other: %s", a.body)
	}
	var doc struct{ Items []map[string]json.RawMessage }
	if err := json.Unmarshal([]byte(a.body), &doc); err != nil {
		t.Fatal(err)
	}
	for _, row := range doc.Items {
		if len(row) != 4 || row["name"] == nil || row["id"] == nil || row["scopes"] == nil || row["created_at"] == nil {
			t.Errorf("%v", row)
		}
	}
}
