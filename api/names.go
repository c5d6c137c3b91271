package api

import (
	"context"
	"strings"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection/identity"
)

// stored returns the id that a request's account is stored under, and notes both: one
// for the access log, the other for the answer.
func (b *Backend) stored(ctx context.Context, given string) string {
	id := b.Identities.Stored(given)
	if x := exchangeOf(ctx); x != nil {
		x.account, x.given = id, given
	}
	return id
}

func (b *Backend) cells(list []events.Cell) []CellRef {
	refs := make([]CellRef, 0, len(list))
	for _, c := range list {
		refs = append(refs, CellRef{b.Identities.Given(c.Account), c.Target})
	}
	return refs
}

// pseudonymLength is that of the ids that identity makes.
const pseudonymLength = len(identity.Prefix) + 20

// show puts the ids as given into a text that names stored ones.
func show(text string, ids *identity.Book) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, identity.Prefix)
		out.WriteString(before)
		if !found {
			return out.String()
		}
		text = identity.Prefix + after
		n := min(pseudonymLength, len(text))
		out.WriteString(ids.Given(text[:n]))
		text = text[n:]
	}
}
