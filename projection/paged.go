package projection

// paged is a growing array in copy-on-write pages: a copy made by share costs
// nothing, and afterwards the first change of a page copies that page. The zero
// value is empty.
type paged[T any] struct {
	pages []*page[T]
	epoch uint64 // rises with every share; older pages are shared
	own   bool   // pages, the slice itself, is not shared
}

// pageSize is how many items are copied when one changes: about the root of the
// largest array, because the list of pages is copied too.
const pageSize = 256

type page[T any] struct {
	epoch uint64 // in which the page was made
	items [pageSize]T
}

// share returns the present value, which later changes of p do not touch. It must not
// be changed itself.
func (p *paged[T]) share() paged[T] {
	shared := *p
	p.epoch++
	p.own = false
	return shared
}

// size is how many items there is room for.
func (p *paged[T]) size() int { return len(p.pages) * pageSize }

// at returns the item at i, which is below the size.
func (p *paged[T]) at(i uint32) T { return p.pages[i/pageSize].items[i%pageSize] }

// set changes the item at i, which is at most the size: there the array grows.
func (p *paged[T]) set(i uint32, v T) {
	if !p.own {
		p.pages = append(make([]*page[T], 0, len(p.pages)+1), p.pages...)
		p.own = true
	}
	k := int(i / pageSize)
	if k == len(p.pages) {
		p.pages = append(p.pages, &page[T]{epoch: p.epoch})
	}
	x := p.pages[k]
	if x.epoch != p.epoch {
		x = &page[T]{p.epoch, x.items}
		p.pages[k] = x
	}
	x.items[i%pageSize] = v
}
