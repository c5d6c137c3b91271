package events_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/abeyance/abeyance/events"
)

// secret is a text with something in it that must not be stored.
type secret struct{ text, hidden string }

// planted is a corpus of texts as upstreams and clients send them. The secrets are
// made up.
func planted() []secret {
	const jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1c2VyIn0.c2lnbmF0dXJlLWhlcmU"
	return []secret{
		{"Authorization: Bearer abcdef0123456789abcdef", "abcdef0123456789"},
		{"authorization: bearer\tQUJDREVGR0hJSktMTU5PUA==", "QUJDREVGR0hJ"},
		{"Proxy-Authorization: Basic dXNlcjpwYXNzd29yZDEyMw==", "dXNlcjpwYXNz"},
		{`{"authorization":"Bearer opaque-token-0123456789"}`, "opaque-token"},
		{"Incorrect API key provided: sk-proj-abcDEF0123456789abcDEF.", "abcDEF0123456789"},
		{"key sk-ant-api03-AAAABBBBCCCCDDDD-EEEE is disabled", "AAAABBBBCCCC"},
		{"stripe rk_live_0123456789abcdefghij", "0123456789abcdef"},
		{"https://example.test/v1/models?key=AIzaSyA0123456789abcdefghijklmnopqrst", "SyA0123456789"},
		{"token " + jwt + " expired", "eyJzdWIi"},
		{`{"jwt":"` + jwt + `"}`, "c2lnbmF0"},
		{"Invalid credential ya29.a0AfH6SMBxyz0123456789-_abc", "a0AfH6SM"},
		{"refresh 1//0gAbCdEfGhIjKlMnOpQrStUvWx failed", "0gAbCdEf"},
		{"ghp_0123456789abcdefghijklmnopqrstuvwxyz is revoked", "0123456789abc"},
		{"github_pat_11ABCDEFG0123456789_abcdefghij", "11ABCDEFG"},
		{"gho_0123456789abcdefghij", "0123456789abc"},
		{"xoxb-123456789012-abcdefABCDEF", "123456789012"},
		{"xai-0123456789abcdefABCDEF", "0123456789abc"},
		{"gsk_0123456789abcdefABCDEF", "0123456789abc"},
		{"hf_abcdefghijklmnopqrst", "abcdefghij"},
		{"AKIAIOSFODNN7EXAMPLE is not allowed", "IOSFODNN7"},
		{"account jane.doe@example.com is suspended", "jane.doe"},
		{"account jane+test_1@mail.example.co.uk is suspended", "jane+test"},
		{"/auth/jane.doe%40example.com.json", "jane.doe"},
		{"gemini-jane.doe@example.com-project.json", "jane.doe"},
		{"<jane@example.com>, \"bob@example.org\"", "bob@"},
		{"api_key=0123456789abcdef&model=x", "0123456789abcdef"},
		{"api-key: 'qwertyuiop'", "qwertyuiop"},
		{"X-Api-Key: qwertyuiop", "qwertyuiop"},
		{`{"access_token":"opaque.value/with+chars=","expires_in":3599}`, "opaque.value"},
		{`{"refresh_token": "opaquerefresh"}`, "opaquerefresh"},
		{`{\"access_token\":\"escapedvalue\"}`, "escapedvalue"},
		{"client_secret=hunter2hunter2", "hunter2"},
		{"password: correct-horse", "correct-horse"},
		{"Cookie: session=abcdef123456; theme=dark", "abcdef123456"},
		{"Set-Cookie: __Secure-next-auth=qwertyuiopasdf; Path=/", "qwertyuiopasdf"},
		{"Bearer abc\u200bdef0123456789abcdef", "def0123456789"},
		{"jane\u00ad.doe@example.com", "doe@"},
		{"jane@exam\u200bple.com", "jane@"},
	}
}

func TestRule35ScrubHidesSecrets(t *testing.T) {
	for _, s := range planted() {
		for _, text := range []string{s.text, "before " + s.text + " after", strings.Repeat(s.text+" ", 20)} {
			for _, limit := range []int{events.MaxText, 60, 20} {
				if got := checkScrubbed(t, text, limit); strings.Contains(got, s.hidden) {
					t.Errorf("Scrub(%.60q, %d) = %q shows %q", text, limit, got, s.hidden)
				}
			}
		}
	}
}

// TestScrubHidesSecretsAtTheCut puts each secret across every place where Scrub
// stops reading or writing: what is left of a secret is no secret, but what is
// left must not be most of one.
func TestScrubHidesSecretsAtTheCut(t *testing.T) {
	const limit = 100
	for _, s := range planted() {
		for _, edge := range []int{limit, 4*limit + 1<<10} {
			for back := 0; back < len(s.text); back += 9 {
				text := strings.Repeat("x ", (edge-back)/2) + s.text
				if got := checkScrubbed(t, text, limit); strings.Contains(got, s.hidden) {
					t.Errorf("Scrub shows %q of %q cut %d bytes after its begin", s.hidden, s.text, back)
				}
			}
		}
	}
}

// checkScrubbed checks what Scrub promises of any text, and returns what it gave.
func checkScrubbed(t *testing.T, text string, limit int) string {
	t.Helper()
	got := events.Scrub(text, limit)
	if !utf8.ValidString(got) {
		t.Errorf("Scrub(%q, %d) = %q is not UTF-8", text, limit, got)
	}
	if len(got) > limit {
		t.Errorf("Scrub(%q, %d) = %q has %d bytes", text, limit, got, len(got))
	}
	for _, r := range got {
		if r != ' ' && (unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
			t.Errorf("Scrub(%q, %d) = %q holds %U", text, limit, got, r)
		}
	}
	if again := events.Scrub(got, limit); again != got {
		t.Errorf("Scrub(%q, %d) = %q is scrubbed again to %q", text, limit, got, again)
	}
	return got
}

func TestScrubKeepsOtherText(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{" Quota  exceeded\r\n\tretry in 5s ", "Quota exceeded retry in 5s"},
		{"You have exhausted your capacity. It resets after 7h0m0s.", "You have exhausted your capacity. It resets after 7h0m0s."},
		{"model kimi-k3[1m] of openai/gpt-5", "model kimi-k3[1m] of openai/gpt-5"},
		{"Überlastet: 配额已用完", "Überlastet: 配额已用完"},
		{"bad \xff byte", "bad \uFFFD byte"},
		{"\x1b[31mred\x1b[0m", "[31mred[0m"},
		{"token limit reached", "token limit reached"},
		{"tokens per minute: 40000", "tokens per minute: 40000"},
		{"Bearer realm", "Bearer realm"},
		{"rate of 5@10 per second", "rate of 5@10 per second"},
		{`{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}`, `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}`},
		{"see https://example.test/a_b-c?d=e", "see https://example.test/a_b-c?d=e"},
		{"access_token: short", "access_token: short"},
	} {
		if got := events.Scrub(c.text, events.MaxText); got != c.want {
			t.Errorf("Scrub(%q) = %q, want %q", c.text, got, c.want)
		}
	}
}

func TestScrubSaysWhatWasThere(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"key sk-abcdefghijklmnop!", "key [key]!"},
		{"user jane@example.com!", "user [email]!"},
		{`{"access_token":"opaquevalue","n":1}`, `{"access_token":"[secret]","n":1}`},
		{"Bearer abcdefghijklmnop", "[token]"},
	} {
		if got := events.Scrub(c.text, events.MaxText); got != c.want {
			t.Errorf("Scrub(%q) = %q, want %q", c.text, got, c.want)
		}
	}
}
