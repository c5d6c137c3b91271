package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
)

// The levels of the daemon's log.
const (
	logDebug = "debug"
	logInfo  = "info"
	logWarn  = "warn"
	logError = "error"
)

func logLevels() []string { return []string{logDebug, logInfo, logWarn, logError} }

func checkLogLevel(level string) error {
	if !slices.Contains(logLevels(), level) {
		return fmt.Errorf("%q is none of %s", level, strings.Join(logLevels(), ", "))
	}
	return nil
}

// logSwitch is what a reload changes about the daemon's log.
type logSwitch struct {
	json  atomic.Bool
	level slog.LevelVar
}

// newLogger returns a logger whose form and level follow the settings that set is given.
func newLogger(to io.Writer) (*slog.Logger, *logSwitch) {
	s := new(logSwitch)
	return slog.New(&switchedHandler{s, newLogHandler(to, logText, &s.level), newLogHandler(to, logJSON, &s.level)}), s
}

// set makes the log as the settings have it. A quiet daemon says nothing below a warning.
func (l *logSwitch) set(s *settings, quiet bool) {
	level := slog.LevelInfo
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		level = slog.LevelInfo // unreachable: the settings were checked
	}
	if quiet {
		level = max(level, slog.LevelWarn)
	}
	l.level.Set(level)
	l.json.Store(s.LogFormat == logJSON)
}

// switchedHandler writes in one of two forms, whichever is wanted at the time.
type switchedHandler struct {
	by         *logSwitch
	text, json slog.Handler
}

func (h *switchedHandler) now() slog.Handler {
	if h.by.json.Load() {
		return h.json
	}
	return h.text
}

// Enabled implements slog.Handler.
func (h *switchedHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.now().Enabled(ctx, l)
}

// Handle implements slog.Handler.
func (h *switchedHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.now().Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *switchedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &switchedHandler{h.by, h.text.WithAttrs(attrs), h.json.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h *switchedHandler) WithGroup(name string) slog.Handler {
	return &switchedHandler{h.by, h.text.WithGroup(name), h.json.WithGroup(name)}
}
