package api_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/bits"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/api"
)

// TestTokensAreRandom: 32 bytes, none twice, no bit that is always the same.
func TestTokensAreRandom(t *testing.T) {
	b := newBench(t)
	const n = 200
	seen := map[string]bool{}
	ones, perByte := 0, map[byte]bool{}
	var always, never [32]byte
	for i := range always {
		always[i] = 0xff
	}
	for i := range n {
		plain, err := b.tokens.Create(fmt.Sprint("t", i), []api.Scope{api.ScopeRead})
		if err != nil {
			t.Fatal(err)
		}
		head := "aby_read_" + idOf(b.tokens, fmt.Sprint("t", i)) + "_"
		secret, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(plain, head))
		if err != nil || len(secret) != 32 || seen[plain] || !api.WellFormed(plain) {
			t.Fatalf("token %q: %v", plain, err)
		}
		seen[plain] = true
		for j, c := range secret {
			ones += bits.OnesCount8(c)
			perByte[c] = true
			always[j] &= c
			never[j] |= c
		}
	}
	// 51 200 bits: half of them, give or take nine standard deviations.
	if ones < n*128-1000 || ones > n*128+1000 || len(perByte) < 250 {
		t.Errorf("%d of %d bits are ones, %d byte values", ones, n*256, len(perByte))
	}
	for j := range always {
		if always[j] != 0 || never[j] != 0xff {
			t.Errorf("byte %d has bits that never change", j)
		}
	}
}

// idOf returns the id of a token by its name.
func idOf(tokens *api.Tokens, name string) string {
	list := tokens.List()
	return list[slices.IndexFunc(list, func(k api.TokenRow) bool { return k.Name == name })].ID
}

// TestATokenSaysWhatItIs: its scopes and its id stand before its secret. One of the form of
// before is as good.
func TestATokenSaysWhatItIs(t *testing.T) {
	b := newBench(t)
	plain, err := b.tokens.Create("both", []api.Scope{api.ScopeRoute, api.ScopeRead})
	if err != nil {
		t.Fatal(err)
	}
	id := idOf(b.tokens, "both")
	if head := "aby_read-route_" + id + "_"; len(id) != 8 || !strings.HasPrefix(plain, head) || len(plain) != len(head)+43 {
		t.Errorf("id %q, token %q", id, plain)
	}
	secret := plain[len(plain)-43:]
	if !api.WellFormed("aby_" + secret) {
		t.Error("a token of the form of before is refused")
	}
	for _, wrong := range []string{
		"aby_read_" + secret, "aby_read_" + id + secret, "aby__" + id + "_" + secret, "aby_read_" + id + "_x" + secret,
		"aby_Read_" + id + "_" + secret, "aby_" + strings.Repeat("read-", 60) + "read_" + id + "_" + secret,
	} {
		if api.WellFormed(wrong) {
			t.Errorf("%q is taken for a token", wrong)
		}
	}
}

// TestSampleTokensAreRefused: what stands in documentation, and what is short, lets
// nobody in, not even when somebody puts its hash into the file.
func TestSampleTokensAreRefused(t *testing.T) {
	good := "aby_" + base64.RawURLEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	open := func(plain, name string) (*api.Tokens, error) {
		dir := t.TempDir()
		sum := sha256.Sum256([]byte(plain))
		doc := fmt.Sprintf(`{"version":1,"tokens":[{"name":%q,"scopes":["admin"],"sha256":%q,"created_at":"2026-01-01T00:00:00Z"}]}`, name, fmt.Sprintf("%x", sum))
		if err := os.WriteFile(filepath.Join(dir, api.TokensFile), []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
		tokens, _, err := api.OpenTokens(dir)
		return tokens, err
	}
	if _, err := open(good, "ops"); err != nil {
		t.Fatalf("a good one: %v", err)
	}
	for _, sample := range api.Samples() {
		if _, err := open(sample, "ops"); err == nil || !strings.Contains(err.Error(), "everybody knows") {
			t.Errorf("%q: %v", sample, err)
		}
	}
	for _, name := range []string{"", "a b", "a\nb", "ROOT", strings.Repeat("x", 65)} {
		if _, err := open(good, name); err == nil {
			t.Errorf("the name %q was taken", name)
		}
	}
	short := []string{
		"", "aby_", "aby_short", good[:len(good)-1], good + "A", "aby_" + strings.Repeat("=", 43), strings.TrimPrefix(good, "aby_"), "ABY_" + good[4:],
		good[:len(good)-1] + "!", "hunter2",
	}
	for _, plain := range short {
		tokens, err := open(plain, "ops")
		if err != nil {
			continue // one of the samples
		}
		server, err := api.New(api.Options{Tokens: tokens, AllowedHosts: []string{"example.com"}})
		if err != nil {
			t.Fatal(err)
		}
		b := newBench(t)
		server.Ready(b.backend())
		b.server, b.token["ops"] = server, plain
		b.do(request{method: http.MethodGet, path: "/v1/head", as: "ops"}).problem(http.StatusUnauthorized, "unauthorized")
	}
}

// TestTokensRotateWithoutARestart: the new one is right before the old one is wrong.
func TestTokensRotateWithoutARestart(t *testing.T) {
	b := newBench(t)
	made := decode[api.TokenCreated](b.post("/v1/tokens", `{"name":"proxy-2026-12","scopes":["route","read"]}`).want(http.StatusOK))
	b.token["new"] = made.Token
	for _, as := range []string{"route", "new"} {
		b.do(request{method: http.MethodPost, path: "/v1/pick", body: `{"provider":"p","model":"m"}`, as: as}).want(http.StatusNotFound)
	}
	b.do(request{method: http.MethodGet, path: "/v1/head", as: "new"}).want(http.StatusOK)
	b.do(request{method: http.MethodPost, path: "/v1/clear", body: `{"account":"a"}`, as: "new"}).problem(http.StatusForbidden, "forbidden_scope")
	b.do(request{method: http.MethodDelete, path: "/v1/tokens/route"}).want(http.StatusOK)
	b.do(request{method: http.MethodPost, path: "/v1/pick", body: `{"provider":"p","model":"m"}`, as: "route"}).problem(http.StatusUnauthorized, "unauthorized")
	b.do(request{method: http.MethodPost, path: "/v1/pick", body: `{"provider":"p","model":"m"}`, as: "new"}).want(http.StatusNotFound)
	for _, word := range []string{made.Token, strings.TrimPrefix(made.Token, "aby_")} {
		if list, err := json.Marshal(b.tokens.List()); err != nil || strings.Contains(string(list), word) || strings.Contains(b.logs.String(), word) {
			t.Errorf("the token is shown again: %v", err)
		}
	}
}

// TestHashesAreComparedInConstantTime is a rule for this package's code: == tells by its
// time how much of a secret is right.
func TestHashesAreComparedInConstantTime(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	constant := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if n.Op == token.EQL || n.Op == token.NEQ {
					for _, side := range []ast.Expr{n.X, n.Y} {
						if s, ok := side.(*ast.SelectorExpr); ok && s.Sel.Name == "SHA256" {
							t.Errorf("%s compares a token's hash with %s", name, n.Op)
						}
					}
				}
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "subtle" && n.Sel.Name == "ConstantTimeCompare" {
					constant++
				}
			}
			return true
		})
	}
	if constant == 0 {
		t.Error("nothing is compared in constant time: this test looks for the wrong name")
	}
}
