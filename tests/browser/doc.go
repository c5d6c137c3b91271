// Package browser holds the tests of the dashboard in a real browser: headless Chromium,
// driven over its debugging protocol, against a daemon of its own process.
//
// Without Chromium the tests are skipped with the reason, or fail if ABEYANCE_CI is set.
// Screenshots go to the folder that ABEYANCE_SHOTS names, or to a temporary one that is
// printed.
package browser
