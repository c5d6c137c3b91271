package ui

import (
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/api"
)

// text returns the files of a folder by name.
func text(t *testing.T, pattern string) map[string]string {
	t.Helper()
	names, err := fs.Glob(files, pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %d files, %v", pattern, len(names), err)
	}
	all := map[string]string{}
	for _, name := range names {
		doc, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(doc)
	}
	return all
}

func TestCataloguesSayTheSameThings(t *testing.T) {
	all, err := catalogues()
	if err != nil || len(all) != len(languages()) {
		t.Fatalf("%d catalogues, %v", len(all), err)
	}
	verbs := regexp.MustCompile(`%(\[\d+\])?(\.\d)?[a-zA-Z]`)
	for _, lang := range languages() {
		for key, english := range all[defaultLang] {
			other, ok := all[lang][key]
			if !ok || strings.TrimSpace(other) == "" {
				t.Errorf("%s: %s is missing", lang, key)
				continue
			}
			a, b := verbs.FindAllString(english, -1), verbs.FindAllString(other, -1)
			if !strings.Contains(english, "%[") && !slices.Equal(a, b) {
				t.Errorf("%s: %s has the values %v, not %v, in this order", lang, key, b, a)
			}
			slices.Sort(a)
			slices.Sort(b)
			if !slices.Equal(a, b) {
				t.Errorf("%s: %s has the values %v, not %v", lang, key, b, a)
			}
		}
		for key := range all[lang] {
			if _, ok := all[defaultLang][key]; !ok {
				t.Errorf("%s: %s is in no other catalogue", lang, key)
			}
		}
	}
}

// Every text that pages and scripts ask for is there, and every text is asked for.
func TestTextsAreUsed(t *testing.T) {
	all, err := catalogues()
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	call := regexp.MustCompile(`(?:\.T|say|T)\(?\s*["']([a-z.]+)["']`)
	sources := text(t, "templates/*.html")
	maps.Copy(sources, text(t, "templates/parts/*.html"))
	maps.Copy(sources, text(t, "assets/*.js"))
	for name, s := range sources {
		for _, m := range call.FindAllStringSubmatch(s, -1) {
			if strings.HasSuffix(m[1], ".") {
				continue // the beginning of one: see below
			}
			used[m[1]] = true
			if _, ok := all[defaultLang][m[1]]; !ok {
				t.Errorf("%s asks for the text %q, which there is not", name, m[1])
			}
		}
	}
	// In Go a key is a word like another.
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	literal := regexp.MustCompile(`"([a-z]+(?:\.[a-z]+)*)"`)
	for _, name := range names {
		doc, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range literal.FindAllStringSubmatch(string(doc), -1) {
			used[m[1]] = true
		}
	}
	// Problems have their codes, which are a closed list.
	for _, code := range api.Codes() {
		used["code."+string(code)] = true
		if _, ok := all[defaultLang]["code."+string(code)]; !ok {
			t.Errorf("there is no text of the problem %s", code)
		}
	}
	// Some are asked for by names put together: of states, blocks, verbs, colours, and of what a
	// timeline says.
	together := regexp.MustCompile(`^(state|block|theme|class|effect|end)\.|^act\.(suspend|lift|clear|recheck)$`)
	for key := range all[defaultLang] {
		if !used[key] && !together.MatchString(key) {
			t.Errorf("the text %s is not used", key)
		}
	}
}

// Nothing that a text could become code by.
func TestScriptsMakeNoMarkup(t *testing.T) {
	for name, s := range text(t, "assets/*.js") {
		for _, word := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "setAttribute('on", "http://", "https://", "localStorage", "sessionStorage"} {
			if strings.Contains(strings.ReplaceAll(s, "http://www.w3.org/2000/svg", ""), word) {
				t.Errorf("%s has %s", name, word)
			}
		}
	}
}

// What the content security policy forbids, and what would break under a path prefix.
func TestTemplatesKeepThePolicy(t *testing.T) {
	all := text(t, "templates/*.html")
	maps.Copy(all, text(t, "templates/parts/*.html"))
	bad := regexp.MustCompile(`(?i) style=| on[a-z]+=|<script>|<style|javascript:|(?:href|src|action)="/|template\.HTML|https?://`)
	for name, s := range all {
		if found := bad.FindString(s); found != "" {
			t.Errorf("%s has %q", name, found)
		}
	}
	for name := range text(t, "assets/*") {
		if assetTypes[path.Ext(name)] == "" {
			t.Errorf("%s has no media type", name)
		}
	}
}
