package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestReadSecret(t *testing.T) {
	name := filepath.Join(t.TempDir(), "secret")
	for doc, want := range map[string]string{
		"whsec_c2VjcmV0":             "whsec_c2VjcmV0",
		"aby_x\n":                    "aby_x",
		" aby_x \r\n":                "aby_x",
		"":                           "",
		"\n":                         "",
		"hush hush":                  "",
		"hush\nhush":                 "",
		"hüsh":                       "",
		"hush\x00":                   "",
		strings.Repeat("hush", 2000): "",
	} {
		write(t, name, doc)
		got, err := readSecret("test's file", name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%.20q: %q, error %v", doc, got, err)
		}
		if err != nil && (strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), "the test's file "+name)) {
			t.Errorf("%.20q: the error is %v", doc, err)
		}
	}
	if _, err := readSecret("test's file", filepath.Join(name, "below")); err == nil {
		t.Error("a file that is not there was read")
	}
}
