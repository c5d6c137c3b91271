package projection

import (
	"strings"
	"sync"

	"github.com/abeyance/abeyance/events"
)

// PoolLabels name a provider and a target in metrics.
type PoolLabels struct{ Provider, Group string }

// What stands in [PoolLabels] for more than one target. No group has such an id, but
// for LabelOther.
const (
	LabelAll    = events.TargetAll         // everything of an account
	LabelModels = events.ModelTarget + "*" // any model without a group
	LabelOther  = "other"                  // what nobody configured, or what is too much
)

// maxPoolLabels bounds the pairs that are handed out, and so the series of each metric:
// what an operator configures may be of any number too.
const maxPoolLabels = 512

// labels hands out the labels of metrics. Names that only clients and reports bring are
// not among them.
type labels struct {
	mu    sync.Mutex
	given map[PoolLabels]bool
}

// of returns the labels of a target on accounts of a canonical provider.
func (l *labels) of(v *View, provider, target string) PoolLabels {
	if v.State.groups.Of(provider) == nil && v.Index.Pool(provider) == nil {
		return PoolLabels{LabelOther, LabelOther}
	}
	pair := PoolLabels{provider, LabelOther} // a group that is gone
	switch {
	case target == LabelAll:
		pair.Group = LabelAll
	case strings.HasPrefix(target, events.ModelTarget):
		pair.Group = LabelModels
	case v.State.groups.serves(target, provider):
		pair.Group = target
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.given[pair] {
		if len(l.given) >= maxPoolLabels {
			return PoolLabels{LabelOther, LabelOther}
		}
		l.given[pair] = true
	}
	return pair
}

// PoolLabels returns the labels under which metrics count a target on accounts of a
// canonical provider. There are at most 512: a provider that has neither groups nor
// configured accounts counts as [LabelOther], since its name came from outside.
func (e *Engine) PoolLabels(provider, target string) PoolLabels {
	return e.metrics.labels.of(e.View(), provider, target)
}
