package projection

import (
	"slices"
	"sort"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/wire"
)

// editions are the newest versions of the groups or of the policy, oldest first. They are
// never changed in place, so that states share them.
type editions []edition

// edition is a version, and the record since which it was in force.
type edition struct {
	version uint64
	seq     events.Seq
}

// maxEditions bounds what is remembered: who redefines more often than that while one
// block lasts is not told what it was decided under.
const maxEditions = 1024

// with returns the editions with another, and without the oldest if they are too many.
func (l editions) with(e edition) editions {
	if len(l) == maxEditions {
		l = l[1:]
	}
	return append(slices.Clip(l), e)
}

// at returns the edition that was in force when a record was made; the zero edition if
// there was none, or it is forgotten.
func (l editions) at(seq events.Seq) edition {
	next := sort.Search(len(l), func(i int) bool { return l[i].seq > seq })
	if next == 0 {
		return edition{}
	}
	return l[next-1]
}

// newest returns the edition in force; the zero edition if nothing was defined yet.
func (l editions) newest() edition {
	if len(l) == 0 {
		return edition{}
	}
	return l[len(l)-1]
}

func (l *editions) fields(c *wire.Codec) {
	wire.Slice(c, (*[]edition)(l), maxEditions, func(c *wire.Codec, e *edition) {
		c.Array(2)
		c.Uint64(&e.version)
		wire.Uint(c, &e.seq)
	})
}
