package projection

// paged is a growing array in copy-on-write pages: a copy made by share costs
// nothing, and afterwards the first change of a page copies that page and the branch
// it hangs on. The zero value is empty.
type paged[T any] struct {
	branches []*branch[T]
	epoch    uint64 // rises with every share; older pages and branches are shared
	own      bool   // branches, the slice itself, is not shared
}

// pageSize is how many items a page has, branchSize how many pages a branch. When an item
// changes, one of each is copied, and the list of the branches; of a batch of changes that
// lie apart a page for each, and the others once for many.
const (
	pageSize   = 16
	branchSize = 64
)

// branch and page know the epoch in which they were made.
type (
	branch[T any] struct {
		epoch uint64
		pages [branchSize]*page[T]
	}
	page[T any] struct {
		epoch uint64
		items [pageSize]T
	}
)

// next returns an array that begins as p and may be changed; p must not be any more.
func (p *paged[T]) next() paged[T] {
	return paged[T]{branches: p.branches, epoch: p.epoch + 1}
}

// share returns the present value, which later changes of p do not touch. It must not
// be changed itself.
func (p *paged[T]) share() paged[T] {
	shared := *p
	*p = p.next()
	return shared
}

// at returns the item at i, or near one that was set.
func (p *paged[T]) at(i uint32) T {
	return p.branches[i/pageSize/branchSize].pages[i/pageSize%branchSize].items[i%pageSize]
}

// find returns the item at i, the zero value where nothing near was set.
func (p *paged[T]) find(i uint32) (v T) {
	if k := int(i / pageSize / branchSize); k < len(p.branches) {
		if x := p.branches[k].pages[i/pageSize%branchSize]; x != nil {
			return x.items[i%pageSize]
		}
	}
	return v
}

// set changes the item at i. The first of a page may be set only after those before.
func (p *paged[T]) set(i uint32, v T) {
	if !p.own {
		p.branches = append(make([]*branch[T], 0, len(p.branches)+1), p.branches...)
		p.own = true
	}
	k := int(i / pageSize / branchSize)
	if k == len(p.branches) {
		p.branches = append(p.branches, &branch[T]{epoch: p.epoch})
	}
	b := p.branches[k]
	if b.epoch != p.epoch {
		b = &branch[T]{p.epoch, b.pages}
		p.branches[k] = b
	}
	x := b.pages[i/pageSize%branchSize]
	switch {
	case x == nil:
		x = &page[T]{epoch: p.epoch}
	case x.epoch != p.epoch:
		x = &page[T]{p.epoch, x.items}
	}
	b.pages[i/pageSize%branchSize] = x
	x.items[i%pageSize] = v
}
