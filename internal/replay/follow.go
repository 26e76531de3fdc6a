package replay

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"time"
)

// Errors of Copy.
var (
	// ErrAborted says that the run went wrong before it gave anything.
	ErrAborted = errors.New("the run ended without an answer")
	// ErrCut says that it went wrong when the follower had a part of it.
	ErrCut = errors.New("the run ended within its answer")
)

// Follower reads a run's answer at its own pace. It ends with Copy or Leave.
type Follower struct {
	run *Run
	at  int64 // guarded by the cache's mutex
}

// piece is what is new for a follower.
type piece struct {
	status  int // 0 before the answer began
	header  http.Header
	bytes   []byte
	over    bool // there is no more after bytes
	aborted bool
	changed <-chan struct{}
}

func (f *Follower) next() piece {
	r := f.run
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	p := piece{over: r.over, aborted: r.aborted, changed: r.changed}
	if r.headShown {
		p.status, p.header = r.status, r.header
	}
	if r.shown > f.at {
		p.bytes = r.bytes[f.at-r.base : r.shown-r.base]
	}
	return p
}

// read notes how far the follower came.
func (f *Follower) read(n int) {
	r := f.run
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	f.at += int64(n)
	if r.transient {
		r.wake() // it may wait for this one
	}
}

// Leave takes the follower away. A run that nobody follows goes on for as long
// as its answer would be kept.
func (f *Follower) Leave() {
	r := f.run
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	delete(r.followers, f)
	r.release()
	if len(r.followers) > 0 {
		return
	}
	r.wake()
	if !r.over {
		r.lonely = time.AfterFunc(r.cache.limits.Keep, r.cancel)
	}
}

// Copy writes the answer to w as it comes, until its end or until ctx ends, and
// flushes where the run did. mark may change the header. The error is ErrAborted,
// ErrCut, the context's or w's.
func (f *Follower) Copy(ctx context.Context, w http.ResponseWriter, mark func(http.Header)) error {
	defer f.Leave()
	control := http.NewResponseController(w)
	defer control.SetWriteDeadline(time.Time{})
	begun, fresh := false, false // fresh: written, not yet flushed
	for {
		p := f.next()
		if p.status != 0 && !begun {
			begun, fresh = true, true
			maps.Copy(w.Header(), p.header)
			mark(w.Header())
			w.WriteHeader(p.status)
		}
		switch {
		case len(p.bytes) > 0:
			control.SetWriteDeadline(time.Now().Add(f.run.cache.limits.Patience)) // not every writer can
			n, err := w.Write(p.bytes)
			if f.read(n); err != nil {
				return err
			}
			fresh = true
			continue
		case p.aborted && begun:
			return ErrCut
		case p.aborted:
			return ErrAborted
		case p.over:
			return nil
		case fresh:
			fresh = false
			if err := control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
				return err
			}
			continue // something may have come meanwhile
		}
		select {
		case <-p.changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
