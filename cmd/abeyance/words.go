package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// word is something that an argument or a flag may be, and what is said beside it.
type word struct{ text, note string }

// typed is what stands on a command line already, as far as it narrows what may follow.
type typed struct {
	verb              string // the command
	account, provider string
}

// source lists the words of one kind. A source that asks the daemon returns what it got
// until the context ended: a part is better than nothing.
type source func(ctx context.Context, env *environment, g typed) []word

// fixed is a source of names that are part of the program.
func fixed[T ~string](names ...T) source {
	return func(context.Context, *environment, typed) (list []word) {
		for _, n := range names {
			list = append(list, word{text: string(n)})
		}
		return list
	}
}

// Sources of what only a daemon knows. All they do is ask: nothing is changed, and no
// event is made. None is a daemon that does not answer, or not to this token.

func knownAccounts(ctx context.Context, env *environment, g typed) []word {
	return asked(ctx, env, get("/v1/accounts", params("provider", g.provider)), func(a api.AccountRow) word {
		return word{a.Account, a.Provider + ", " + accountState(a)}
	})
}

func knownProviders(ctx context.Context, env *environment, _ typed) []word {
	counts := map[string]int{}
	asked(ctx, env, get("/v1/accounts", params()), func(a api.AccountRow) word {
		counts[a.Provider]++
		return word{}
	})
	var list []word
	for _, provider := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, word{provider, counted(counts[provider], "account")})
	}
	return list
}

func knownTokens(ctx context.Context, env *environment, _ typed) []word {
	var answer api.TokensAnswer
	c, err := env.daemon()
	if err != nil || c.do(ctx, get("/v1/tokens", nil), &answer) != nil {
		return nil
	}
	var list []word
	for _, t := range answer.Items {
		list = append(list, word{t.Name, scopeList(t.Scopes)})
	}
	return list
}

// knownTargets are those of one account, with what blocks each, or the groups that are
// defined. A verb that ends a block is offered what it can end.
func knownTargets(ctx context.Context, env *environment, g typed) []word {
	if g.account == "" {
		return append(knownGroups(ctx, env, g), word{events.TargetAll, "everything"})
	}
	now, listed := env.now(), map[string]bool{}
	list := asked(ctx, env, get("/v1/cells", params("account", g.account)), func(c api.CellRow) word {
		ends := map[string]bool{"lift": c.Suspended != nil, "clear": c.Cooling != nil || c.Held != nil, "recheck": c.Cooling != nil}
		if can, limited := ends[g.verb]; limited && !can {
			return word{}
		}
		listed[c.Target] = true
		return word{c.Target, cellNote(&c, now)}
	})
	if slices.Contains([]string{"suspend", "why", "wait"}, g.verb) && !listed[events.TargetAll] && len(list) > 0 {
		list = append(list, word{events.TargetAll, "everything"})
	}
	return list
}

func cellNote(c *api.CellRow, now time.Time) string {
	switch {
	case c.Suspended != nil:
		return c.Status + ": " + c.Suspended.Reason
	case c.Cooling != nil:
		return c.Status + ", ends " + relative(c.Cooling.Until.Time, now)
	default:
		return c.Status
	}
}

func knownGroups(ctx context.Context, env *environment, g typed) []word {
	var list []word
	for _, row := range definitions(ctx, env).Groups {
		if row.Enabled && (g.provider == "" || slices.Contains(row.Providers, projection.CanonicalProvider(g.provider))) {
			list = append(list, word{row.ID, row.Label})
		}
	}
	return list
}

// knownModels are those that the definitions name, and those that were limited lately: a
// daemon knows no list of models.
func knownModels(ctx context.Context, env *environment, g typed) []word {
	provider := projection.CanonicalProvider(g.provider)
	ours := func(p string) bool { return g.provider == "" || p == provider }
	notes := map[string]string{}
	defined := definitions(ctx, env)
	for p, aliases := range defined.Aliases {
		for name, model := range aliases {
			if ours(p) {
				notes[name] = "alias of " + model
			}
		}
	}
	for _, row := range defined.Groups {
		for _, pattern := range row.Patterns {
			if row.Enabled && slices.ContainsFunc(row.Providers, ours) && !strings.ContainsAny(pattern, "*?") {
				notes[pattern] = "group " + row.ID
			}
		}
	}
	for _, row := range lately(ctx, env, string(events.KindLimitObserved)) {
		if row.Data.Model != "" && ours(row.Data.Provider) {
			notes[row.Data.Model] = "limited " + relative(row.At.Time, env.now())
		}
	}
	return noted(notes)
}

// knownActors are those of the newest records.
func knownActors(ctx context.Context, env *environment, _ typed) []word {
	notes := map[string]string{}
	for _, row := range lately(ctx, env, "") {
		if notes[row.Actor] == "" {
			notes[row.Actor] = "last " + relative(row.At.Time, env.now())
		}
	}
	return noted(notes)
}

func noted(notes map[string]string) (list []word) {
	for _, text := range slices.Sorted(maps.Keys(notes)) {
		list = append(list, word{text, notes[text]})
	}
	return list
}

// asked returns the words of a list of the daemon, page by page as far as it gets.
func asked[T any](ctx context.Context, env *environment, q call, of func(T) word) (list []word) {
	c, err := env.daemon()
	for err == nil {
		page := new(api.Page[T])
		q.query.Set("page_size", "1000")
		if err = c.do(ctx, q, page); err != nil {
			break
		}
		for _, item := range page.Items {
			if w := of(item); w.text != "" {
				list = append(list, w)
			}
		}
		if page.NextPageToken == nil {
			break
		}
		q.query.Set("page_token", *page.NextPageToken)
	}
	return list
}

// definitions are the groups and aliases in force; none if they cannot be had.
func definitions(ctx context.Context, env *environment) *api.GroupsAnswer {
	answer := new(api.GroupsAnswer)
	c, err := env.daemon()
	if err == nil {
		err = c.do(ctx, get("/v1/groups", nil), answer)
	}
	if err != nil {
		return new(api.GroupsAnswer)
	}
	return answer
}

// lately are the newest records of a kind; empty: of any.
func lately(ctx context.Context, env *environment, kind string) []api.EventRow {
	c, err := env.daemon()
	if err != nil {
		return nil
	}
	var page api.Page[api.EventRow]
	if err := c.do(ctx, get("/v1/events", params("kind", kind, "page_size", fmt.Sprint(latelyRecords))), &page); err != nil {
		return nil
	}
	return page.Items
}

// latelyRecords is how far back lately looks.
const latelyRecords = 300
