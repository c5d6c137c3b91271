package faults

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// handMade is a trace of a directory /w, open as 3, with a file a, open as 4, that
// durably says "old".
const handMade = `1 openat(AT_FDCWD, "/w", O_RDONLY|O_CLOEXEC) = 3
1 openat(3, "a", O_WRONLY|O_CREAT|O_TRUNC, 0600) = 4
1 write(4, "old", 3) = 3
1 fsync(4)          = 0
1 fsync(3)          = 0
`

func watchHandMade(trace string) (*recording, error) {
	steps, err := parseTrace(handMade + trace)
	if err != nil {
		return nil, err
	}
	return watch(steps, "/w", nil)
}

// The lines of traces by hand.
const (
	overwrite = `1 pwrite64(4, "new", 3, 0) = 3` + "\n"
	makeB     = `1 openat(3, "b", O_WRONLY|O_CREAT|O_TRUNC, 0600) = 5` + "\n" + `1 write(5, "new", 3) = 3` + "\n"
	moveB     = `1 renameat(3, "b", 3, "a") = 0` + "\n"
	syncA     = "1 fdatasync(4) = 0\n"
	syncB     = "1 fsync(5) = 0\n"
	syncDir   = "1 fsync(3) = 0\n"
)

// What may be on disk after a crash at the end of a trace: a file is NAME=CONTENT, with
// a dot for a zero.
func TestCrashStatesOfTracesByHand(t *testing.T) {
	for _, c := range []struct {
		name, trace string
		want        []string
	}{
		{"all is durable", "", []string{"a=old"}},
		{"a write", overwrite, []string{"a=new", "a=old"}},
		{"a write and a sync", overwrite + syncA, []string{"a=new"}},
		{"a write after a sync", syncA + overwrite, []string{"a=new", "a=old"}},
		{"a sync of something else", overwrite + syncDir, []string{"a=new", "a=old"}},
		{"a sync that began before the write had returned", `1 pwrite64(4, "new", 3, 0 <unfinished ...>
2 fsync(4 <unfinished ...>
1 <... pwrite64 resumed>) = 3
2 <... fsync resumed>) = 0
`, []string{"a=new", "a=old"}},
		{"a sync that has not returned", overwrite + "2 fsync(4 <unfinished ...>\n1 close(3) = 0\n2 <... fsync resumed>) = ?\n", nil},
		{"a longer file", "1 ftruncate(4, 5) = 0\n" + `1 pwrite64(4, "x", 1, 4) = 1` + "\n", []string{"a=old", "a=old..", "a=old.x"}},
		{"a short write", `1 pwrite64(4, "new", 3, 0) = 1` + "\n" + syncA, []string{"a=nld"}},
		{"two writes of the same", overwrite + `1 pwrite64(4, "N", 1, 0) = 1` + "\n", []string{"a=New", "a=Nld", "a=new", "a=old"}},
		{"a file emptied", `1 openat(3, "a", O_WRONLY|O_TRUNC) = 5` + "\n", []string{"a=", "a=old"}},
		{"a new file", makeB, []string{"a=old", "a=old b=", "a=old b=new"}},
		{"a new file whose name is not synced", makeB + syncB, []string{"a=old", "a=old b=new"}},
		{"a new file of which only the name is synced", makeB + syncDir, []string{"a=old b=", "a=old b=new"}},
		{"a new file, synced", makeB + syncB + syncDir, []string{"a=old b=new"}},
		{"replaced", makeB + syncB + moveB, []string{"a=new", "a=old", "a=old b=new"}},
		{"replaced, synced", makeB + syncB + moveB + syncDir, []string{"a=new"}},
		{"replaced without a sync", makeB + moveB, []string{"a=", "a=new", "a=old", "a=old b=", "a=old b=new"}},
		{"removed", `1 unlinkat(3, "a", 0) = 0` + "\n", []string{"", "a=old"}},
		{"removed, synced", `1 unlinkat(3, "a", 0) = 0` + "\n" + syncDir, []string{""}},
		{"a new directory", `1 mkdirat(3, "d", 0700) = 0
1 openat(AT_FDCWD, "/w/d", O_RDONLY) = 5
1 openat(5, "b", O_RDWR|O_CREAT, 0600) = 6
1 fsync(6) = 0
1 fsync(5) = 0
`, []string{"a=old", "a=old d/b="}},
		{"one write after the other", `1 write(4, "er", 2) = 2` + "\n" + `1 write(4, "!", 1) = 1` + "\n", []string{"a=old", "a=old..!", "a=older", "a=older!"}},
		{"a number used elsewhere", "1 close(4) = 0\n" + `1 openat(AT_FDCWD, "/x", O_WRONLY) = 4` + "\n" + `1 write(4, "new", 3) = 3` + "\n", []string{"a=old"}},
		{"a number used again", `1 close(4 <unfinished ...>
2 openat(3, "b", O_WRONLY|O_CREAT, 0600) = 4
1 <... close resumed>) = 0
2 write(4, "new", 3) = 3
2 fsync(4) = 0
2 fsync(3) = 0
`, []string{"a=old b=new"}},
		{"what fails and what is elsewhere", `1 openat(3, "b", O_RDONLY) = -1 ENOENT (No such file or directory)
1 openat(AT_FDCWD, "/wx", O_WRONLY|O_CREAT, 0600) = 5
1 write(5, "new", 3) = 3
1 --- SIGURG {si_signo=SIGURG} ---
1 +++ exited with 0 +++
`, []string{"a=old"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := watchHandMade(c.trace)
			if c.want == nil {
				if err == nil {
					t.Error("the trace of a process that was killed is a recording")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, everyImage(t, r, r.steps)); diff != "" {
				t.Errorf("what a crash may leave (-want +got):\n%s", diff)
			}
		})
	}
}

// everyImage returns what crashes after some steps leave, without torn writes.
func everyImage(t *testing.T, r *recording, at int) []string {
	t.Helper()
	images := map[string]bool{}
	pending := r.pending(at)
	for subset := range 1 << len(pending) {
		c := crash{at: at, kept: map[*op]tear{}}
		for i, o := range pending {
			if subset>>i&1 == 1 {
				c.kept[o] = tear{}
			}
		}
		images[show(t, r, c)] = true
	}
	return slices.Sorted(maps.Keys(images))
}

// show returns the files that a crash leaves, by name.
func show(t *testing.T, r *recording, c crash) string {
	t.Helper()
	dir := t.TempDir()
	if err := c.materialize(r.image(c), dir); err != nil {
		t.Fatal(err)
	}
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		doc, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files = append(files, fmt.Sprintf("%s=%s", name, bytes.ReplaceAll(doc, []byte{0}, []byte("."))))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(files, " ")
}

// A recording is refused rather than understood in part.
func TestCrashModelRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, trace := range []string{
		`writev(4, [{iov_base="new", iov_len=3}], 1) = 3`,
		`copy_file_range(5, NULL, 4, NULL, 3, 0) = 3`,
		`fcntl(4, F_DUPFD_CLOEXEC, 0) = 5`,
		`lseek(4, 0, SEEK_SET) = 0`,
		`mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 4, 0) = 0x7f6713c25000`,
		`openat(3, "a", O_WRONLY|O_APPEND) = 5`,
		`openat(3, "b", O_RDONLY) = 5`,
		`openat(3, "d/b", O_RDONLY) = 5`,
		`unlinkat(3, "b", 0) = 0`,
		`renameat(3, "a", AT_FDCWD, "/a") = 0`,
		`renameat(AT_FDCWD, "/a", 3, "b") = 0`,
		`fdatasync(4) = -1 EIO (Input/output error)`,
		`write(4, "ne"..., 3) = 3`,
		`write(4, "ne", 3) = 3`,
		`pwrite64(4, "new", 3, x) = 3`,
		`write(4, "new", 3) = three`,
		`write`,
	} {
		if r, err := watchHandMade("1 " + trace + "\n"); err == nil {
			t.Errorf("%s is taken for %d changes", trace, len(r.ops))
		}
	}
}

// What is said counts from the beginning of the call that says it, and what is synced
// from the end of the call that syncs it.
func TestCrashMomentsAreOnTheSafeSide(t *testing.T) {
	r, err := watchHandMade(overwrite + `2 fsync(4 <unfinished ...>
1 write(1, "\x61\x63\x6b\n", 4 <unfinished ...>
2 <... fsync resumed>) = 0
1 <... write resumed>) = 4
`)
	if err != nil {
		t.Fatal(err)
	}
	began := r.steps - 4
	var got []string
	for at := began; at <= r.steps; at++ {
		got = append(got, fmt.Sprint(len(r.heard(at)), everyImage(t, r, at)))
	}
	want := []string{
		"0 [a=new a=old]", // written
		"0 [a=new a=old]", // the sync has begun
		"1 [a=new a=old]", // and the line
		"1 [a=new]",       // the sync has returned
		"1 [a=new]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines and what a crash may leave, by step (-want +got):\n%s", diff)
	}
	if want := []int{began + 2}; !slices.Equal(r.moments()[2:], append(want, r.steps)) || r.heard(r.steps)[0].text != "ack" {
		t.Errorf("the moments are %v of %d steps, and %v was said", r.moments(), r.steps, r.heard(r.steps))
	}
}

// A write at no border of a sector, of which each sector is there or not.
func TestCrashTearsWritesAtSectors(t *testing.T) {
	const at, size = 100, 1000 // in the sectors 0, 1 and 2
	r, err := watchHandMade(fmt.Sprintf("1 pwrite64(4, %q, %d, %d) = %d\n", strings.Repeat("n", size), size, at, size))
	if err != nil {
		t.Fatal(err)
	}
	o := r.pending(r.steps)[0]
	if o.sectors() != 3 {
		t.Fatalf("a write of %d bytes at %d is of %d sectors", size, at, o.sectors())
	}
	zeros := func(n int) string { return strings.Repeat(".", n) }
	ns := func(n int) string { return strings.Repeat("n", n) }
	for _, c := range []struct {
		tear tear
		want string // after "old"
	}{
		{tear{}, zeros(97) + ns(1000)},
		{tear{sectors: []bool{true, false, false}}, zeros(97) + ns(412)},
		{tear{sectors: []bool{false, true, false}}, zeros(509) + ns(512)},
		{tear{sectors: []bool{false, false, true}}, zeros(1021) + ns(76)},
		{tear{sectors: []bool{true, false, true}}, zeros(97) + ns(412) + zeros(512) + ns(76)},
		{tear{sectors: []bool{true, false, false}, sized: true}, zeros(97) + ns(412) + zeros(588)},
		{tear{sectors: []bool{false, false, false}, sized: true}, zeros(1097)},
	} {
		if got := show(t, r, crash{at: r.steps, kept: map[*op]tear{o: c.tear}}); got != "a=old"+c.want {
			t.Errorf("%+v leaves %s, want a=old%s", c.tear, got, c.want)
		}
	}
}
