// Package boltlog keeps an [events.Log] in one directory, on bbolt. It knows
// records and accounts, and no state and no rules.
//
// # The directory
//
// The directory and those in it have mode 0700, the files 0600:
//
//	LOCK           flock'ed by the one process that has the log open; its text is that
//	               process's id in decimal and a newline, and empty when nobody has
//	log.db         the log, a bbolt file (data format version 2)
//	head           what the log is known to hold, see below
//	index          which records are about which account, see below
//	checkpoints/   what callers worked out from the records up to one, see below
//	*.new          files being written: they become the file they are named after by
//	               rename, and are removed if a crash left them
//
// Other parts of Abeyance keep files beside them: identities.json, tokens.json,
// webhooks.json, token and daemon.json. The last says where the process that holds LOCK
// listens, and is removed when LOCK is taken.
//
// # log.db
//
// Two buckets. Numbers are 8 bytes, big-endian. "meta" is written once:
//
//	"format"      -> "1"
//	"log"         -> the log's id, a UUID in its 36 characters
//	"first_seq"   -> the seq of the first record
//	"first_prev"  -> the hash before it, 32 bytes; for seq 1 SHA-256("abeyance.log.v1" || id)
//
// "records" holds the records and nothing else:
//
//	seq -> bytes || hash
//
// where bytes is the record as package events encodes it, and hash, the last 32
// bytes of the value, is
//
//	SHA-256("abeyance.record.v1" || hash of the record before || bytes)
//
// Seqs ascend without gaps. For example, the log with the id
// 0195a1d2-7e3c-7b9a-8f10-2b5d6c7e8f90 whose only record has 61 bytes holds under
// the key 00 00 00 00 00 00 00 01 a value of 93 bytes.
//
// # head
//
// Five lines of text, replaced as a whole:
//
//	abeyance head 1
//	log 0195a1d2-7e3c-7b9a-8f10-2b5d6c7e8f90
//	seq 61
//	hash 5f2b...                                 (64 hex digits)
//	at 2026-03-14T15:09:26.535897932Z            (RFC 3339, of the newest record)
//
// It is written after the commits it tells of, within a second or after about
// 1 000 records, and when the log is closed. So it may lag behind log.db and never
// leads it: a log.db that lacks what head names was replaced, cut or taken back.
//
// # index and checkpoints
//
// Both are caches that can be deleted: they hold nothing that the log does not. A
// checkpoint is named by the seq of its record in 20 digits, as
// 00000000000000100000.checkpoint. Each file begins with a seal of six lines and an
// empty one,
//
//	abeyance checkpoint 1                        (or: abeyance index 1)
//	log 0195a1d2-7e3c-7b9a-8f10-2b5d6c7e8f90
//	seq 100000
//	hash 5f2b...                                 (of that record, 64 hex digits)
//	length 48213                                 (of the payload, in bytes)
//	sha256 09ca...                               (of the payload)
//
// and the payload is the rest. That of a checkpoint is the caller's; that of the index
// is, in varints as package encoding/binary writes them, the number of accounts and for
// each, ascending bytewise, the length of its id, the id, the number of its records,
// the first's seq and the differences between the others'. A file is used only if its
// seal has exactly this form, its record is one of the log, and its payload has that
// length and digest. One that cannot be of this log is deleted.
//
// # What is checked
//
// bbolt notices no damaged value; a file that is shorter than its tree ends the
// process with SIGBUS, a page that refers back to itself with a full memory or stack,
// and a damaged freelist makes it write over records. So before bbolt maps the file
// [Open] checks that it is as long as it claims, and that the pages which bbolt follows
// and may overwrite belong to one place each: the branch pages, the last leaf, and
// the freelist. Then it checks every record's link of the hash chain, before it decodes
// a byte of it, and before that all other pages, too; unless a checkpoint is taken:
// then it checks the links after the checkpoint, and leaves the rest to [Log.Verify].
// Each record is checked again whenever it is read. Nothing of the log is ever
// repaired: what does not fit is refused with an error that names the file and the
// first bad record, and nothing is changed.
//
// # What a crash leaves
//
// A new log.db is complete before it gets its name. A commit of bbolt writes
// pages that nothing refers to yet, syncs, writes one of the two meta pages, and
// syncs again: a crash before the second sync leaves the log as it was before the
// commit or as it is after it, and the commit was acknowledged only after it.
package boltlog
