package api

import (
	"context"

	"github.com/abeyance/abeyance/events"
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
