package faults

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"breakwater/internal/llm"
)

const (
	diskRate  = 100      // requests a second
	diskSpace = 48 << 20 // of a small disk: room for the database and some segments of the journal
)

// diskTrouble is something that keeps the record from being written.
type diskTrouble struct {
	name string
	// small says that it needs a disk of its own.
	small bool
	// begin brings it about and gives what ends it.
	begin func(t testing.TB, folder string) (mend func())
}

func diskTroubles() []diskTrouble {
	return []diskTrouble{
		{name: "full", small: true, begin: fillDisk},
		{name: "locked", begin: lockDatabase},
		{name: "read-only", begin: freezeFiles},
	}
}

// smallDisk mounts one.
func smallDisk(t testing.TB) string {
	t.Helper()
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, fmt.Sprintf("size=%d", diskSpace)); err != nil {
		t.Skip("a small disk cannot be mounted here:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, 0); err != nil {
			t.Error(err)
		}
	})
	return folder
}

// fillDisk leaves not a byte.
func fillDisk(t testing.TB, folder string) func() {
	t.Helper()
	path := filepath.Join(folder, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size > 0; {
		if _, err = f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	if closing := f.Close(); closing != nil || !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err, closing)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// lockDatabase does what a backup that never ends does.
func lockDatabase(t testing.TB, folder string) func() {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(folder, "faults.db")+"?_busy_timeout=5000")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := db.Exec(`ROLLBACK`); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// freezeFiles has the kernel refuse every change of the files that are written,
// also by those who have them open, as a file system does that was made
// read-only after an error. The shared memory of SQLite is left alone, since
// nobody writes that to a disk.
func freezeFiles(t testing.TB, folder string) func() {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*.db*"))
	if err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(folder, "*", "*.segment"))
	if err != nil {
		t.Fatal(err)
	}
	var frozen []string
	thaw := func() {
		for _, path := range frozen {
			if err := setImmutable(path, false); err != nil {
				t.Error(err)
			}
		}
	}
	for _, path := range append(paths, segments...) {
		if info, err := os.Stat(path); err != nil || info.IsDir() || strings.HasSuffix(path, "-shm") {
			continue
		}
		if err := setImmutable(path, true); err != nil {
			thaw()
			t.Skip("files cannot be made read-only here:", err)
		}
		frozen = append(frozen, path)
	}
	return thaw
}

// setImmutable sets or clears the flag that chattr +i sets:
// https://man7.org/linux/man-pages/man2/FS_IOC_SETFLAGS.2const.html (2026-11).
func setImmutable(path string, to bool) error {
	const getFlags, setFlags, immutable = 0x80086601, 0x40086602, 0x10
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var flags int
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), getFlags, uintptr(unsafe.Pointer(&flags))); e != 0 {
		return e
	}
	flags &^= immutable
	if to {
		flags |= immutable
	}
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), setFlags, uintptr(unsafe.Pointer(&flags))); e != 0 {
		return e
	}
	return nil
}

// stream has callers ask at diskRate for a while, whoever is still being
// answered, and gives how long each answer took, sorted, and the ids. An answer that is
// not whole fails the test.
func (h *house) stream(t testing.TB, n int) (took []time.Duration, ids []string) {
	t.Helper()
	var mu sync.Mutex
	var callers sync.WaitGroup
	tick := time.NewTicker(time.Second / diskRate)
	defer tick.Stop()
	for i := range n {
		<-tick.C
		callers.Go(func() {
			q := question{dialect: dialects()[i%4], model: string(llm.Gemini), text: text(i), stream: i%2 == 0}
			began := time.Now()
			a := asked{q: q, heard: h.ask(t.Context(), q)}
			each := time.Since(began)
			if end := a.ending(); end != rescued {
				t.Errorf("a caller was %q: HTTP %d %s %s", end, a.status, a.wrong, a.body)
			}
			mu.Lock()
			defer mu.Unlock()
			took, ids = append(took, each), append(ids, a.id)
		})
	}
	callers.Wait()
	slices.Sort(took)
	return took, ids
}

func (d diskTrouble) house(t testing.TB) (*house, string) {
	folder := t.TempDir()
	if d.small {
		folder = smallDisk(t)
	}
	return open(t, options{chain: []llm.Provider{llm.Gemini, llm.Claude}, folder: folder}), folder
}

// page gives the status page's text.
func (h *house) page(t testing.TB) string {
	t.Helper()
	resp, err := h.client.Get(h.URL() + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, err)
	}
	return string(b)
}

// Whatever is the matter with the disk, every caller is answered, the page says
// that nothing is written down, and once the disk is well again the record has
// what was answered meanwhile.
func TestDiskTroubleIsNoCallersTrouble(t *testing.T) {
	const said = "The record cannot be written right now"
	for _, d := range diskTroubles() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			h, folder := d.house(t)
			_, before := h.stream(t, 30)
			mend := d.begin(t, folder)
			_, meanwhile := h.stream(t, 2*diskRate)
			h.eventually(t, "the page says that the record cannot be written", func() bool { return strings.Contains(h.page(t), said) })
			mend()
			h.eventually(t, "the record is written again", func() bool { return !strings.Contains(h.page(t), said) })
			_, after := h.stream(t, 30)
			traces := h.close(t)
			for _, id := range slices.Concat(before, meanwhile, after) {
				if _, there := traces[id]; !there {
					t.Errorf("request %s was answered and is not in the record", id)
				}
			}
		})
	}
}

// BenchmarkDiskTrouble compares what callers wait while the disk is in trouble
// with what they wait just before and after, as ratios of the 50th, 95th and
// 99th percentile.
func BenchmarkDiskTrouble(b *testing.B) {
	for _, d := range diskTroubles() {
		b.Run(d.name, func(b *testing.B) {
			h, folder := d.house(b)
			h.stream(b, diskRate) // warm
			var well, ill []time.Duration
			for b.Loop() {
				took, _ := h.stream(b, 5*diskRate)
				well = append(well, took...)
				mend := d.begin(b, folder)
				took, _ = h.stream(b, 5*diskRate)
				ill = append(ill, took...)
				mend()
				h.eventually(b, "the record is written again", func() bool { return !strings.Contains(h.page(b), "cannot be written") })
			}
			slices.Sort(well)
			slices.Sort(ill)
			for _, q := range []int{50, 95, 99} {
				b.ReportMetric(float64(ill[len(ill)*q/100])/float64(well[len(well)*q/100]), fmt.Sprintf("p%d-ratio", q))
			}
			b.ReportMetric(float64(well[len(well)/2].Microseconds()), "p50-well-µs")
			b.ReportMetric(float64(len(ill)), "requests")
			h.close(b)
		})
	}
}
