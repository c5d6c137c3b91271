package browser

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode"
)

// hostile are texts that a page must show as text, wherever they come from.
func hostile() []string {
	list := []string{
		`<script>alert(1)</script>`, `"><script>alert(1)</script>`, `'><img src=x onerror=alert(1)>`, `<img src="https://evil.test/x">`,
		`<svg/onload=alert(1)>`, `</title><script>alert(1)</script>`, `</textarea><script>alert(1)</script>`, `<iframe src="javascript:alert(1)">`,
		`javascript:alert(1)`, `" onfocus="alert(1)" autofocus="`, `' onmouseover='alert(1)`, "`-alert(1)-`", `${alert(1)}`, `{{.Session}}`, `{{constructor}}`,
		`<a href="javascript:alert(1)">x</a>`, `<base href="https://evil.test/">`, `<link rel=stylesheet href="https://evil.test/x.css">`,
		`<style>@import "https://evil.test/x.css"</style>`, `<meta http-equiv=refresh content="0;url=https://evil.test/">`, `<form action="https://evil.test/">`,
		`--><script>alert(1)</script><!--`, `]]><script>alert(1)</script>`, `<math><mtext><script>alert(1)</script>`, `<template><script>alert(1)</script></template>`,
		`<object data="https://evil.test/x">`, `<embed src="https://evil.test/x">`, `<video src="https://evil.test/x" onerror=alert(1)>`, `<details open ontoggle=alert(1)>`,
		`<body onload=alert(1)>`, `<input onfocus=alert(1) autofocus>`, `<marquee onstart=alert(1)>`, `&lt;script&gt;alert(1)&lt;/script&gt;`, `&#60;script&#62;`,
		`%3Cscript%3Ealert(1)%3C/script%3E`, `\u003cscript\u003ealert(1)\u003c/script\u003e`, `\"};alert(1);//`, `';alert(1);//`, `*/alert(1)/*`, `data:text/html,<script>alert(1)</script>`,
		`../../etc/passwd`, `?account=x&target=*`, `#fragment`, `a b&c=d+e;f`, `"quoted" 'single'`, `𝓗𝓸𝓼𝓽𝓲𝓵𝓮 ﷽`, `مرحبا`, `<<SCRIPT>alert(1);//<</SCRIPT>`, `<scr<script>ipt>alert(1)</script>`,
		`<x onclick=alert(1) style="position:fixed;inset:0">cover</x>`,
	}
	return list
}

// id is a text as far as it can be an account's id.
func id(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, text)
}

// Fifty hostile texts as account id, label, reason and upstream body are shown as text
// everywhere: nothing runs, nothing is asked for elsewhere, and no element comes of them.
func TestHostileTexts(t *testing.T) {
	s := open(t)
	texts := hostile()
	if len(texts) != 50 {
		t.Fatalf("%d hostile texts", len(texts))
	}
	groups := make([]map[string]any, 0, len(texts))
	for i, text := range texts {
		groups = append(groups, map[string]any{"id": fmt.Sprintf("g%d", i), "label": text, "providers": []string{"kimi"}, "patterns": []string{fmt.Sprintf("m%d-*", i)}})
	}
	s.call(http.MethodPut, "/v1/groups", map[string]any{"groups": groups})
	for i, text := range texts {
		account := id(text)
		s.call(http.MethodPut, "/v1/accounts/"+url.PathEscape(account), map[string]any{"provider": "kimi"})
		s.call(http.MethodPost, "/v1/suspend", map[string]any{"account": account, "target": fmt.Sprintf("g%d", i), "reason": text, "forever": true, "on_behalf_of": text})
		s.call(http.MethodPost, "/v1/reports", map[string]any{
			"account": account, "provider": "kimi", "model": fmt.Sprintf("m%d-%s", i, account), "status": 429,
			"headers": map[string]string{"Retry-After": "3600"},
			"body":    `{"error":{"message":` + quote("upstream says "+text) + `,"type":"exceeded_current_quota_error"}}`,
		})
	}
	b := newTab(t, browse(t), s.url)
	b.login(s.token, texts[0])
	// elements are those that no template of ours has, or that only the texts could make.
	const elements = `document.querySelectorAll('iframe, object, embed, video, style, base, marquee, math, template, body script, img, [onload], [onerror], [onclick], [onfocus], [onmouseover], [ontoggle], [onstart], x, meta[http-equiv]').length`
	look := func(path string, want []string) {
		t.Helper()
		b.visit(path)
		b.wait("document.querySelector('main h1')")
		if n := eval[int](b, elements); n != 0 {
			t.Errorf("%s: %d elements came of the texts", path, n)
		}
		shown := eval[string](b, "document.querySelector('main').textContent")
		for _, text := range want {
			if !strings.Contains(shown, text) {
				t.Errorf("%s does not show %q", path, text)
			}
		}
	}
	look("", texts) // ids and labels
	b.live()
	look("ui/status", nil)
	look("ui/timeline", texts[:10])
	look("ui/replay", texts)
	look("ui/audit", nil)
	for i, text := range texts {
		q := url.Values{"account": {id(text)}, "target": {fmt.Sprintf("g%d", i)}}
		look("ui/cell?"+q.Encode(), []string{text, id(text)})
		look("ui/audit?"+url.Values{"account": {id(text)}, "seq": {"3"}}.Encode(), nil)
		// What the upstream said, as far as it is evidence, is shown to the letter.
		whole := url.Values{"account": {id(text)}}.Encode()
		look("ui/cell?"+whole, []string{s.evidence(whole)})
	}
	// The dialog shows what the scripts are told.
	q := url.Values{"account": {id(texts[1])}, "target": {"g1"}}
	b.visit("ui/cell?" + q.Encode())
	b.act("lift", texts[2])
	b.wait("document.getElementById('act-preview').textContent.includes(%s)", id(texts[1]))
	if n := eval[int](b, elements); n != 0 {
		t.Errorf("%d elements came of the dialog", n)
	}
	// A frame of the stream, and the row it brings.
	b.visit("")
	b.live()
	s.call(http.MethodPost, "/v1/lift", map[string]any{"account": id(texts[1]), "target": "g1", "reason": texts[3]})
	b.wait(`document.querySelector('tr[data-account=' + CSS.escape(%s) + ']') === null && Array.from(document.querySelectorAll('tr')).some(r => r.dataset.account === %s && r.querySelector('[data-target="g1"]')?.dataset.status !== 'suspended')`, "none", id(texts[1]))
	if n := eval[int](b, elements); n != 0 {
		t.Errorf("%d elements came of the stream", n)
	}
	b.check() // what comes now is meant
	b.pardon("Content Security Policy")
	// And the count would tell: here the texts are put in as a careless page would.
	careless := eval[int](b, `(() => { const page = document.implementation.createHTMLDocument(); page.body.innerHTML = `+fill("%s", strings.Join(texts, " "))+`; return page.`+strings.TrimPrefix(elements, "document.")+`; })()`)
	if careless < 10 {
		t.Errorf("of careless texts only %d elements are counted", careless)
	}
}

func quote(text string) string { return fmt.Sprintf("%q", text) }

// evidence is what of an upstream's answer the API shows for the cells of an account.
func (s *site) evidence(query string) string {
	s.t.Helper()
	for _, c := range s.call(http.MethodGet, "/v1/why?"+query, nil)["cells"].([]any) {
		if text, _ := c.(map[string]any)["evidence"].(string); strings.Contains(text, "upstream says") {
			return text
		}
	}
	s.t.Fatalf("no evidence of %s", query)
	return ""
}
