//go:build !linux

package main

import "errors"

func uncache(string) error { return errors.New("only done on Linux") }
