package store

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Durability says what of the record outlives which end of the process.
type Durability string

// The durabilities. A kill is any end of the process that leaves the system
// running: kill -9, out of memory, a crash.
const (
	// Journaled appends a trace to the journal before its request ends, so that
	// a kill loses none, and syncs the journal every SyncEvery, so that a power
	// cut loses about that much.
	Journaled Durability = "journal"
	// Durable has every request wait until its trace is synced, together with
	// those of the others that end meanwhile: nothing is lost, and each request
	// takes as long as the disk needs to sync, a few milliseconds.
	Durable Durability = "durable"
	// Unjournaled keeps what waits in memory only: a kill loses about
	// CommitEvery of it, more where the database cannot be written.
	Unjournaled Durability = "off"
)

// Durabilities lists all durabilities.
func Durabilities() []Durability { return []Durability{Journaled, Durable, Unjournaled} }

const (
	// DefaultDurability costs a request 1.15 to 1.25 µs, 0.7 to 0.75 µs of it for the
	// system call and about 0.25 µs for packing.
	DefaultDurability = Journaled
	// SyncEvery leaves a slow disk 10 ms to sync in, so that a power cut loses
	// no more than 25 ms.
	SyncEvery = 15 * time.Millisecond
	// SegmentBytes is about 20,000 traces: files are changed rarely, and after a
	// kill one is read in a few milliseconds.
	SegmentBytes = 8 << 20
	// JournalPatience is how long a request waits for another one's write. It takes a
	// microsecond, but whoever writes may have to wait for a processor meanwhile, and
	// those who do not wait for it are lost in a kill. What takes this long has met a
	// disk that hangs, and then no other request waits.
	JournalPatience = time.Second
	// DurablePatience is how long a request waits to be synced. With a disk that
	// takes longer, answers matter more than the promise; they are counted.
	DurablePatience = time.Second
	// MaxUnwritten bounds what waits in memory for a journal that cannot be
	// written: far more than DefaultQueue entries take.
	MaxUnwritten = 64 << 20
)

// journal is what was recorded and may not be in the database yet, on disk.
// Entries are numbered in the order of the queue. Whoever wants one to be in
// the file writes all that wait, so one write serves many.
//
// They are written, not stored to mapped memory, which would cost a tenth: what
// is mapped can block in a page fault, and a goroutine that does so on a disk
// that hangs stops all others when memory is next collected; a system call
// stops nobody.
type journal struct {
	folder  string
	name    string // of the database's segments
	durable bool
	// harden brings what the database has committed to the disk. Until then a
	// power cut may take it back, so the entries must stay.
	harden  func() error
	create  func(path string) (segmentFile, error)
	maximum int64 // size of a segment, beyond which another is begun

	mu      sync.Mutex
	waiting []byte // framed entries that are not in the file
	last    uint64 // number of the newest entry
	synced  chan struct{}
	old     []segment // full, oldest first
	trouble string    // the last failure

	turn  turn        // to write to the file
	stuck atomic.Bool // the disk hangs: nobody waits for a turn
	file  segmentFile // and what follows belongs to whoever has the turn
	path  string
	size  int64
	spare []byte // memory for waiting

	bytes atomic.Int64 // of all segments

	count uint64 // of segments so far; their names rise with it

	written atomic.Uint64 // the highest number that is in the file
	safe    atomic.Uint64 // the highest number that is on the disk
	settled atomic.Uint64 // the highest number that the database has, or will never have
	failing atomic.Bool   // the last write or sync failed; requests leave the next one to keep
	late    atomic.Uint64 // requests that ended before their trace was as safe as it should be
	closed  atomic.Bool
	calls   atomic.Bool   // a call was committed and is not hardened
	wake    chan struct{} // there is work for keep
}

// start begins a segment for the entries after last. The segments of before
// are removed when the database has what is in them.
func (j *journal) start(last uint64, old []segment) error {
	j.last, j.old = last, old
	j.written.Store(last)
	j.safe.Store(last)
	j.turn.left, j.wake = make(chan struct{}, 1), make(chan struct{}, 1)
	j.synced = make(chan struct{})
	for _, s := range old {
		j.bytes.Add(s.size)
	}
	if err := os.MkdirAll(j.folder, 0o700); err != nil {
		return fmt.Errorf("the journal's folder cannot be made: %w", err)
	}
	var err error
	if j.file, j.path, err = j.begin(); err != nil {
		return fmt.Errorf("the journal cannot be begun: %w", err)
	}
	j.size = int64(len(segmentMagic))
	return nil
}

func (j *journal) begin() (segmentFile, string, error) {
	j.count++
	path := segmentPath(j.folder, j.name, j.count)
	file, err := j.create(path)
	return file, path, err
}

// add numbers an entry and has it wait to be written. The number is 0 where
// there is no room for it. The queue's lock is held, so the order is the
// queue's.
func (j *journal) add(e *entry) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.waiting) >= MaxUnwritten {
		return 0
	}
	framed := appendFrame(j.waiting, j.last+1, e)
	if len(framed) == len(j.waiting) {
		return 0
	}
	j.waiting = framed
	j.last++
	return j.last
}

// reach comes back when an entry is as safe as it should be, or when that
// takes too long or cannot be. The number is one that add gave.
func (j *journal) reach(number uint64) {
	if number == 0 || !j.write(number) || j.durable && !j.await(number) {
		j.late.Add(1)
	}
}

// write brings an entry to the file, and with it all that wait.
func (j *journal) write(number uint64) bool {
	if j.written.Load() >= number {
		return true
	}
	if !j.takeTurn() {
		return false
	}
	defer j.leaveTurn()
	if j.written.Load() < number && (j.failing.Load() || j.flush() != nil) {
		return false
	}
	signal(j.wake)
	return true
}

// takeTurn gives false where the disk hangs.
func (j *journal) takeTurn() bool {
	if j.turn.take() {
		return true
	}
	if j.stuck.Load() {
		return false
	}
	patience := time.NewTimer(JournalPatience)
	defer patience.Stop()
	if !j.turn.await(patience.C) {
		j.stuck.Store(true)
		return false
	}
	return true
}

func (j *journal) leaveTurn() {
	if j.stuck.Load() {
		j.stuck.Store(false)
	}
	j.turn.leave()
}

// flush writes what waits. It needs the turn. After a failure the next try
// begins where this one did, so that nothing half-written stays.
func (j *journal) flush() error {
	j.mu.Lock()
	b, last := j.waiting, j.last
	if len(b) == 0 {
		j.mu.Unlock()
		return nil
	}
	j.waiting, j.spare = j.spare[:0], nil
	j.mu.Unlock()
	if _, err := j.file.WriteAt(b, j.size); err != nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.waiting = append(b, j.waiting...)
		j.fail(err)
		signal(j.wake)
		return err
	}
	j.size += int64(len(b))
	j.bytes.Add(int64(len(b)))
	if cap(b) <= SegmentBytes { // what a long trouble took is given back
		j.spare = b[:0]
	}
	j.written.Store(last)
	return nil
}

// fail notes a failure; the lock is held.
func (j *journal) fail(err error) {
	j.failing.Store(true)
	j.trouble = err.Error()
}

// await waits until an entry is on the disk.
func (j *journal) await(number uint64) bool {
	patience := time.NewTimer(DurablePatience)
	defer patience.Stop()
	for {
		j.mu.Lock()
		synced := j.synced
		j.mu.Unlock()
		if j.safe.Load() >= number {
			return true
		}
		if j.failing.Load() {
			return false
		}
		select {
		case <-synced:
		case <-patience.C:
			return false
		}
	}
}

// settle says that the database has all entries up to a number. What waited
// for a journal that cannot be written need not be written any more.
func (j *journal) settle(number uint64) {
	if number == 0 {
		return
	}
	j.settled.Store(number)
	if !j.failing.Load() {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	cut := 0
	for cut < len(j.waiting) {
		next, size, ok := nextFrame(j.waiting[cut:])
		if !ok || next > number {
			break
		}
		cut += size
	}
	j.waiting = append(j.waiting[:0], j.waiting[cut:]...)
}

// called says that a call was committed, which must outlive a power cut as
// what is journaled does.
func (j *journal) called() error {
	if j.durable {
		return j.harden()
	}
	j.calls.Store(true)
	signal(j.wake)
	return nil
}

// run does keep's work until stop is closed. After a failure it tries again,
// ever more rarely.
func (j *journal) run(stop <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	wait := RetryMin
	for {
		select {
		case <-stop:
			return
		case <-j.wake:
		}
		if !j.durable {
			timer.Reset(SyncEvery)
			select {
			case <-stop:
				return
			case <-timer.C:
			}
		}
		for j.keep() != nil {
			timer.Reset(wait)
			wait = min(2*wait, RetryMax)
			select {
			case <-stop:
				return
			case <-timer.C:
			}
		}
		wait = RetryMin
	}
}

// keep writes what waits, brings it to the disk, begins another segment where
// this one is full, and removes those that the database needs no more.
func (j *journal) keep() error {
	err := j.advance()
	j.mu.Lock()
	j.failing.Store(false)
	if err != nil {
		j.fail(err)
	}
	close(j.synced) // those who wait look again, also where they wait in vain
	j.synced = make(chan struct{})
	j.mu.Unlock()
	if err != nil {
		return err
	}
	return j.clean()
}

// advance is keep without the removing.
func (j *journal) advance() error {
	j.turn.await(nil)
	err := j.flush()
	file, size, upto := j.file, j.size, j.written.Load()
	j.leaveTurn()
	if err != nil {
		return err
	}
	if upto > j.safe.Load() {
		if err := file.Sync(); err != nil {
			return err
		}
		j.safe.Store(upto)
	}
	if size < j.maximum {
		return nil
	}
	return j.rotate()
}

// rotate begins another segment. Requests wait for none of the slow steps.
func (j *journal) rotate() error {
	file, path, err := j.begin()
	if err != nil {
		return err
	}
	j.turn.await(nil)
	full, was := j.file, segment{path: j.path, last: j.written.Load(), size: j.size}
	j.file, j.path, j.size = file, path, int64(len(segmentMagic))
	j.leaveTurn()
	j.mu.Lock()
	j.old = append(j.old, was)
	j.mu.Unlock()
	return errors.Join(full.Sync(), full.Close())
}

// clean removes the segments whose entries are on the disk in the database.
func (j *journal) clean() error {
	upto := j.settled.Load()
	j.mu.Lock()
	old := j.old
	j.mu.Unlock()
	done := len(old) > 0 && old[0].last <= upto
	if !j.calls.Swap(false) && !done {
		return nil
	}
	err := j.harden()
	if err == nil {
		old, err = removeSegments(old, upto)
	} else {
		j.calls.Store(true)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.trouble = err.Error()
	}
	for _, s := range j.old[:len(j.old)-len(old)] {
		j.bytes.Add(-s.size)
	}
	j.old = old
	return err
}

// stats fills in what Stats tells of the journal.
func (j *journal) stats(st *Stats) {
	j.mu.Lock()
	defer j.mu.Unlock()
	st.JournalBytes, st.JournalFailing, st.JournalError = j.bytes.Load(), j.failing.Load(), j.trouble
	st.Late = j.late.Load()
}

// close ends the journal. What the database does not have stays in it, for the
// next start.
func (j *journal) close() error {
	if j.closed.Swap(true) {
		return nil
	}
	j.turn.await(nil) // and never leave it
	err := errors.Join(j.flush(), j.file.Sync(), j.file.Close())
	hard := j.harden()
	if hard == nil {
		all := append(j.old, segment{path: j.path, last: j.written.Load()})
		_, removing := removeSegments(all, j.settled.Load())
		err = errors.Join(err, removing)
	}
	if err = errors.Join(err, hard); err != nil {
		return fmt.Errorf("the journal: %w", err)
	}
	return nil
}
