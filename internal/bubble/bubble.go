// Package bubble runs tests on virtual time.
package bubble

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
)

// processors is what bubbles share: how many of them run, and how many
// processors there were before the first.
var processors struct {
	sync.Mutex
	bubbles, before int
}

// Test is synctest.Test on a single processor where the race detector watches.
// On two, goroutines of one bubble that look at due timers at the same moment
// share one state of the detector and corrupt it: now and then the whole test
// program died of it, golang/go#78156. The detector finds races by the order of
// events, so it needs no second processor.
func Test(t *testing.T, f func(*testing.T)) {
	t.Helper()
	if raceDetector {
		enter()
		defer leave()
	}
	synctest.Test(t, f)
}

func enter() {
	processors.Lock()
	defer processors.Unlock()
	if processors.bubbles == 0 {
		processors.before = runtime.GOMAXPROCS(1)
	}
	processors.bubbles++
}

func leave() {
	processors.Lock()
	defer processors.Unlock()
	processors.bubbles--
	if processors.bubbles == 0 {
		runtime.GOMAXPROCS(processors.before)
	}
}
