// Package ui is the dashboard: pages rendered on the server, and small scripts of their
// own that keep them live. It is a client of the API like any other: all that it shows and
// does it asks the API for, in the name of the session that the browser's cookie stands
// for, so that it can neither see nor do what the token could not.
//
// Pages are at / and below /ui/. Links are relative, so that they hold under the path
// prefix of a proxy. Nothing is loaded from elsewhere; the content security policy allows
// scripts, styles, images and connections of the same origin alone.
package ui
