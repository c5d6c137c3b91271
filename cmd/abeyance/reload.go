package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// reloadPart is something of the daemon that follows its settings while it runs. What no
// part follows, and is not in the log, needs a restart.
type reloadPart struct {
	// keys are the settings that it follows, as config show has them; those below too.
	keys []string
	// prepare checks the new settings and changes nothing. What it returns puts them in
	// force, and cannot fail. Nil: there is nothing to do.
	prepare func(next *settings) (apply func(), err error)
	// unshown lists what differs and that config show does not show, such as a secret, as
	// long as it is not in force. Nil: there is no such thing.
	unshown func(next *settings) ([]api.SettingChange, error)
}

// reloader puts the configuration in force while the daemon runs: all of it or, with one
// mistake, nothing, so that the last good one stays.
type reloader struct {
	d     *daemon
	parts []reloadPart

	mu sync.Mutex // one reload at a time; guards the fields below
	// running :: key → the value in force, of the settings that are not in the log
	running map[string]string
	tried   fingerprint // of the file that was read last, good or not
}

// newReloader is for a daemon whose settings are in force.
func newReloader(d *daemon, parts []reloadPart) (*reloader, error) {
	r := &reloader{d: d, parts: parts, running: map[string]string{}, tried: d.settings.file.sum}
	if checkAgain(d.settings.file.name) != nil {
		r.tried = fingerprint{} // nothing is to be taken for its change
	}
	rows, err := d.settings.ownRows()
	for _, row := range rows {
		r.running[row.Key] = row.Value
	}
	return r, err
}

// reload reads the settings anew and puts them in force. Errors are a *api.ConfigError, or
// the engine's.
func (r *reloader) reload(ctx context.Context, q api.ReloadCommand) (api.Reloaded, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q.DryRun {
		return r.try()
	}
	r.tried = fingerprintOf(r.d.settings.file.name)
	if r.d.announced.Load() {
		r.d.notify(notifyReloading, "")
		defer r.d.notify(notifyReady, "serving "+r.d.url)
	}
	done, err := r.run(ctx, q)
	r.count(len(done.Changed), err)
	if err != nil && !isMistake(err) {
		r.tried = fingerprint{} // a full disk, say: whoever follows the file tries again
	}
	return done, err
}

// isMistake reports whether an error is the file's: as it is it will never do, or not
// before an operator has acted.
func isMistake(err error) bool {
	_, config := errors.AsType[*api.ConfigError](err)
	_, refused := errors.AsType[*projection.Error](err)
	return config || refused
}

func (r *reloader) count(changed int, err error) {
	r.d.reloaded.done(r.d.env.now(), changed > 0, err)
	if err != nil {
		// The text quotes the file, in which ids may be e-mail addresses.
		r.d.logger.Error("the configuration was not loaded; the last good one stays in force", "error", events.Scrub(err.Error(), maxConfigError))
	}
}

// maxConfigError bounds the text of a mistake in the daemon's log.
const maxConfigError = 8 << 10

// try says what a reload would do.
func (r *reloader) try() (api.Reloaded, error) {
	before := r.d.engine.State()
	p, err := r.plan(before)
	if err != nil {
		return api.Reloaded{}, err
	}
	d, err := projection.Decide(before, projection.Command{Do: p.do}, r.d.engine.Now())
	if err != nil {
		return api.Reloaded{}, p.refused(err)
	}
	return r.done(p, before, projection.Outcome{Decision: d, AsOf: before.Head().Seq}), nil
}

func (r *reloader) run(ctx context.Context, q api.ReloadCommand) (api.Reloaded, error) {
	before := r.d.engine.State()
	p, err := r.plan(before)
	if err != nil {
		return api.Reloaded{}, err
	}
	o, err := r.execute(ctx, p, q)
	if err != nil {
		return api.Reloaded{}, err
	}
	for _, apply := range p.apply {
		apply()
	}
	done := r.done(p, before, o)
	r.tell(p, before, &o)
	r.adopt(p.rows)
	return done, nil
}

// reloadPlan is a reload that was found to be possible.
type reloadPlan struct {
	next  *settings
	rows  []effectiveRow // those of the settings that are not in the log
	do    *projection.Configure
	apply []func()
	// changed and restart are the changes of the settings that are not in the log, by key:
	// those that it brings, and those that only a restart would.
	changed, restart []api.SettingChange
}

// plan reads the settings anew and checks everything that can be checked beforehand.
func (r *reloader) plan(s *projection.State) (*reloadPlan, error) {
	if err := checkAgain(r.d.settings.file.name); err != nil {
		return nil, &api.ConfigError{Err: err}
	}
	next, err := r.d.resolve()
	if err != nil {
		return nil, &api.ConfigError{Err: err}
	}
	p := &reloadPlan{next: next}
	if p.rows, err = next.ownRows(); err != nil {
		return nil, &api.ConfigError{Err: err} // unreachable: the settings were checked
	}
	for _, part := range r.parts {
		apply, err := part.prepare(next)
		if err != nil {
			return nil, &api.ConfigError{Err: err}
		}
		if apply != nil {
			p.apply = append(p.apply, apply)
		}
		if part.unshown != nil {
			list, err := part.unshown(next)
			if err != nil {
				return nil, &api.ConfigError{Err: err}
			}
			p.changed = append(p.changed, list...)
		}
	}
	if p.do, err = next.file.configure(s, r.d.ids, r.d.engine.Now()); err != nil {
		return nil, p.refused(err)
	}
	r.compare(p)
	for _, c := range p.changed {
		p.do.Settings = append(p.do.Settings, events.SettingChange{Key: c.Key, From: c.From, To: c.To})
	}
	return p, nil
}

// refused words an error as one of the file. What the state does not let stand keeps its
// code.
func (p *reloadPlan) refused(err error) error {
	e, ok := errors.AsType[*projection.Error](err)
	if !ok {
		return err
	}
	message := err.Error()
	if err == error(e) { // it shows in the command only: no line is known
		message = p.next.file.name + ": " + message
	}
	return &projection.Error{Code: e.Code, Message: message, Cells: e.Cells}
}

// execute puts into the log what belongs there, as one command, and hands the sections of
// the file over to it.
func (r *reloader) execute(ctx context.Context, p *reloadPlan, q api.ReloadCommand) (o projection.Outcome, err error) {
	file := p.next.file
	if err := r.d.ids.Add(file.file.accountIDs()...); err != nil {
		return o, err
	}
	origin := events.Origin{Actor: projection.ActorConfig, OnBehalfOf: q.OnBehalfOf, Via: cmp.Or(q.Via, events.ViaGo)}
	err = r.d.owners.Hand(func() (map[api.Section]string, error) {
		var err error
		o, err = r.d.engine.Execute(ctx, projection.Command{Origin: origin, Do: p.do})
		return file.owned(), err
	})
	if err != nil {
		return o, p.refused(err)
	}
	return o, nil
}

// adopt notes what is in force now. What needs a restart stays what it was.
func (r *reloader) adopt(rows []effectiveRow) {
	running := map[string]string{}
	for key, value := range r.running {
		if !r.live(key) {
			running[key] = value
		}
	}
	for _, row := range rows {
		if r.live(row.Key) {
			running[row.Key] = row.Value
		}
	}
	r.running = running
}

// live reports whether a setting is followed by a part.
func (r *reloader) live(key string) bool {
	return slices.ContainsFunc(r.parts, func(p reloadPart) bool {
		return slices.ContainsFunc(p.keys, func(k string) bool { return key == k || strings.HasPrefix(key, k+".") })
	})
}

// maxToldChanges bounds the lines in the log about one reload.
const maxToldChanges = 100

// done is what a reload came to, or would.
func (r *reloader) done(p *reloadPlan, before *projection.State, o projection.Outcome) api.Reloaded {
	return api.Reloaded{
		File: p.next.file.name, Owned: p.next.file.owned(), Outcome: o,
		Changed: r.changes(p, before, recorded(&o), true), NeedsRestart: p.restart,
	}
}

// recorded returns what a command recorded, or would.
func recorded(o *projection.Outcome) []events.Draft {
	drafts := o.Drafts
	for i := range o.Records {
		drafts = append(drafts, o.Records[i].Draft)
	}
	return drafts
}

// tell logs what changed. Lines hold stored ids only.
func (r *reloader) tell(p *reloadPlan, before *projection.State, o *projection.Outcome) {
	changed := r.changes(p, before, recorded(o), false)
	for i, c := range changed {
		if i == maxToldChanges {
			r.d.logger.Info(fmt.Sprintf("and %d more settings changed", len(changed)-i))
			break
		}
		r.d.logger.Info("setting changed", changeAttrs(&c)...)
	}
	for _, c := range p.restart {
		r.d.logger.Warn("setting needs a restart", changeAttrs(&c)...)
	}
	r.d.logger.Info("configuration loaded", "file", p.next.file.name, "changed", len(changed), "need_restart", len(p.restart),
		"records", len(o.Records), "seq", uint64(o.AsOf))
}

func changeAttrs(c *api.SettingChange) []any {
	return []any{slog.String("key", c.Key), slog.String("from", c.From), slog.String("to", c.To), slog.String("origin", c.Origin)}
}

// changes lists what changes, with the drafts for the log, by key. Accounts are called by
// their given ids or, in the log, by the stored ones.
func (r *reloader) changes(p *reloadPlan, before *projection.State, drafts []events.Draft, given bool) []api.SettingChange {
	changed := slices.Concat(p.changed, p.next.logChanges(before, drafts, r.d.ids, given))
	slices.SortFunc(changed, byKey)
	return changed
}

func byKey(a, b api.SettingChange) int { return cmp.Compare(a.Key, b.Key) }

// compare completes a plan's changes by what its rows tell.
func (r *reloader) compare(p *reloadPlan) {
	seen := map[string]bool{}
	note := func(key, to, origin string) {
		seen[key] = true
		if r.running[key] == to {
			return
		}
		list := &p.restart
		if r.live(key) {
			list = &p.changed
		}
		*list = append(*list, api.SettingChange{Key: key, From: r.running[key], To: to, Origin: origin})
	}
	for _, row := range p.rows {
		note(row.Key, row.Value, row.Origin)
	}
	for key := range r.running {
		if !seen[key] {
			note(key, "", "")
		}
	}
	slices.SortFunc(p.changed, byKey)
	slices.SortFunc(p.restart, byKey)
}

// request is reload for a request over the API.
func (r *reloader) request(ctx context.Context, q api.ReloadCommand) (api.Reloaded, error) {
	if !q.DryRun {
		r.d.logger.Info("loading the configuration", "because", "a request", "by", events.Scrub(q.OnBehalfOf, events.MaxID))
	}
	return r.reload(ctx, q)
}

// because is reload without anybody who waits for the answer.
func (r *reloader) because(ctx context.Context, why string) {
	if ctx.Err() != nil {
		return
	}
	r.d.logger.Info("loading the configuration", "because", why)
	// What came of it is logged.
	_, _ = r.reload(ctx, api.ReloadCommand{})
}

// unread reports whether the file is not as it was when it was read last.
func (r *reloader) unread(now fingerprint) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return now != r.tried
}

// ownParts are the parts that follow settings of no other part of the daemon.
func (d *daemon) ownParts() []reloadPart {
	always := func(apply func(next *settings)) func(*settings) (func(), error) {
		return func(next *settings) (func(), error) { return func() { apply(next) }, nil }
	}
	return []reloadPart{
		{keys: []string{"log.format", "log.level"}, prepare: always(func(next *settings) { d.logs.set(next, d.env.quiet) })},
		{keys: []string{"log.access"}, prepare: always(func(next *settings) { d.server.SetAccessLog(next.LogAccess) })},
		{keys: []string{"webhooks"}, prepare: d.prepareHooks, unshown: d.unshownHooks},
		{keys: []string{"strategies"}, prepare: always(func(next *settings) { d.picks.SetStrategies(next.file.file.strategies()) })},
		{keys: []string{"observe_only"}, prepare: always(func(next *settings) {
			// An engine that has stopped blocks nobody any more: the process is about to end.
			_ = d.engine.SetObserveOnly(context.Background(), next.ObserveOnly)
		})},
	}
}
