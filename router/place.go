package router

// place is who of a turn was served last, and how many were before: one swap takes the
// turn and counts the pick, so that counting costs a pick nothing. The low bits hold the
// position and one, the others the number of picks, which begins anew after 2^40: months
// at 100 000 a second, and a reset of a counter like any other to who reads it. The zero
// place has served nobody.
type place uint64

// placeBits hold any position: a wheel has at most 16 slots for each account of a pool.
const placeBits = 24

// placeAt is the place of a position, or, for -1, of none.
func placeAt(i int) place { return place(i + 1) }

// index returns the position served last, or -1.
func (p place) index() int { return int(p&(1<<placeBits-1)) - 1 }

// picks returns how many were served.
func (p place) picks() uint64 { return uint64(p >> placeBits) }

// then is the place once a position was served.
func (p place) then(i int) place { return (p>>placeBits+1)<<placeBits | place(i+1) }

// within returns the position after the last one, or the start if that is not in
// [start, end).
func (p place) within(start, end int) int {
	if next := p.index() + 1; next > start && next < end {
		return next
	}
	return start
}
