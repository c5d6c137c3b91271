package ui

import "sync/atomic"

// maxSending bounds the pages that are being sent, in bytes: room for that of the largest pool,
// of a hundred thousand accounts, or for many of an ordinary one.
const maxSending = 256 << 20

// smallPage is the size below which pages do not count: readers of large ones must not keep
// anybody from the others.
const smallPage = 1 << 20

// outbox bounds the bytes of the pages that are being sent. A reader that does not read holds
// its page until the connection's time is over.
type outbox struct {
	most int64
	size atomic.Int64
}

// enter reports whether a page of a size may be sent. It leaves when it was.
func (o *outbox) enter(size int) bool {
	if size <= smallPage || o.size.Add(int64(size)) <= o.most {
		return true
	}
	o.leave(size)
	return false
}

func (o *outbox) leave(size int) {
	if size > smallPage {
		o.size.Add(-int64(size))
	}
}
