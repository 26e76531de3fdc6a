package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// A segment of the journal is a file of entries, one after the other, behind
// segmentMagic. An entry is its frame and its packed form:
//
//	4 bytes  length of the packed form, little-endian
//	4 bytes  CRC-32C of what follows and then of the length
//	8 bytes  number, which rises by one from entry to entry
//
// Nothing but the end of the last segment is ever written, so what a kill or a
// power cut leaves incomplete is at an end.
const (
	segmentMagic = "brkwjnl1" // the last character is the version of what is packed
	frameSize    = 16

	// MaxEntry bounds one entry in the journal, so that a damaged length is
	// known for one. A trace takes about 400 bytes; a larger entry than this is
	// not journaled.
	MaxEntry = 1 << 20

	segmentSuffix = ".segment"
)

// castagnoli is the polynomial that processors have an instruction for.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is that of an entry from its number on, and of its length.
func checksum(frame []byte) uint32 {
	return crc32.Update(crc32.Checksum(frame[8:], castagnoli), castagnoli, frame[:4])
}

// appendFrame appends an entry with its frame. It gives dst as it was where
// the entry is too large.
func appendFrame(dst []byte, number uint64, e *entry) []byte {
	start := len(dst)
	b := appendEntry(append(dst, make([]byte, frameSize)...), e)
	frame := b[start:]
	if len(frame) > frameSize+MaxEntry {
		return dst
	}
	binary.LittleEndian.PutUint32(frame, uint32(len(frame)-frameSize))
	binary.LittleEndian.PutUint64(frame[8:], number)
	summed := append(frame, frame[:4]...)[8:] // as checksum does it, in one go
	binary.LittleEndian.PutUint32(frame[4:], crc32.Checksum(summed, castagnoli))
	return b
}

// nextFrame gives the number and size of the frame that b begins with, its
// packed form included, and false where b begins with none.
func nextFrame(b []byte) (number uint64, size int, ok bool) {
	if len(b) <= frameSize {
		return 0, 0, false
	}
	packed := binary.LittleEndian.Uint32(b)
	if packed == 0 || packed > MaxEntry || int(packed) > len(b)-frameSize {
		return 0, 0, false
	}
	size = frameSize + int(packed)
	return binary.LittleEndian.Uint64(b[8:]), size, checksum(b[:size]) == binary.LittleEndian.Uint32(b[4:])
}

// found is what reading the journal came to.
type found struct {
	last    uint64 // the highest number
	missing uint64 // numbers that no entry was found for
	skipped int64  // bytes that are no entry
}

// readSegment gives the entries of a segment to take whose numbers are above
// f.last, which it keeps up to date. What is damaged is skipped and counted.
func (f *found) readSegment(b []byte, take func(entry)) {
	for len(b) > 0 {
		number, size, ok := nextFrame(b)
		if !ok {
			next := resync(b[1:]) + 1
			f.skipped += int64(next)
			b = b[next:]
			continue
		}
		if number > f.last {
			f.missing += number - f.last - 1
			f.last = number
			e, err := unpackEntry(b[frameSize:size])
			if err != nil {
				f.missing++
				f.skipped += int64(size)
			} else {
				e.number = number
				take(e)
			}
		}
		b = b[size:]
	}
}

// resync finds where the next frame begins, or the end.
func resync(b []byte) int {
	for i := range b {
		if _, _, ok := nextFrame(b[i:]); ok {
			return i
		}
	}
	return len(b)
}

// segment is one file of the journal.
type segment struct {
	path string
	last uint64 // the highest number in it
	size int64
}

// segmentPath names a segment after its database, and so that the order of the
// names is that of the entries.
func segmentPath(folder, name string, count uint64) string {
	return filepath.Join(folder, fmt.Sprintf("%s-%016x%s", name, count, segmentSuffix))
}

// listed is what a folder of segments holds.
type listed struct {
	paths  []string // of one database's segments, in order
	count  uint64   // that of the last of them
	others int      // segments of other databases
}

func listSegments(folder, name string) (listed, error) {
	var l listed
	files, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	for _, f := range files { // sorted by name
		count, ours := strings.CutPrefix(f.Name(), name+"-")
		count, whole := strings.CutSuffix(count, segmentSuffix)
		if !ours {
			l.others++
			continue
		}
		// One that was set aside counts too: its name is taken.
		n, err := strconv.ParseUint(count[:min(16, len(count))], 16, 64)
		if err == nil {
			l.count = max(l.count, n)
		}
		if whole {
			l.paths = append(l.paths, filepath.Join(folder, f.Name()))
		}
	}
	return l, nil
}

// entriesOf reads a segment's file. Where it is of another version, ours is false.
func entriesOf(path string) (b []byte, ours bool, err error) {
	if b, err = os.ReadFile(path); err != nil || len(b) < len(segmentMagic) {
		return nil, true, err // killed before there was anything in it
	}
	b, ours = bytes.CutPrefix(b, []byte(segmentMagic))
	return b, ours, nil
}

// loadSegment reads a segment's file, and sets one of another version aside
// under another name.
func loadSegment(path string) (b []byte, ours bool, err error) {
	b, ours, err = entriesOf(path)
	if !ours {
		err = os.Rename(path, path+".unread")
	}
	return b, ours, err
}

// segmentFile is what the journal does with a file.
type segmentFile interface {
	io.WriterAt
	io.Closer
	Sync() error
}

// createSegment makes a segment that a power cut leaves in its folder.
func createSegment(path string) (segmentFile, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteAt([]byte(segmentMagic), 0)
	if err = errors.Join(err, syncFolder(filepath.Dir(path))); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	return f, nil
}

// syncFolder brings the names in a folder to the disk. Systems on which a
// folder cannot be synced keep names without it.
func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	err = f.Sync()
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EINVAL) {
		return nil
	}
	return err
}

// removeSegments removes, oldest first, so that what stays has no gap.
func removeSegments(all []segment, upto uint64) (left []segment, err error) {
	for i, s := range all {
		if s.last > upto {
			return slices.Clone(all[i:]), nil
		}
		if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return slices.Clone(all[i:]), err
		}
	}
	return nil, nil
}
