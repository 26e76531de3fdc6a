package bubble_test

import (
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/internal/bubble"
)

// Hundreds of goroutines look at timers that came due while they slept: with
// the race detector and two processors most runs of this end in a crash.
func TestDueTimersDoNotEndTheProgram(t *testing.T) {
	for range 3 {
		bubble.Test(t, func(*testing.T) {
			var all sync.WaitGroup
			for range 400 {
				all.Go(func() {
					tick := time.NewTicker(time.Second)
					defer tick.Stop()
					for range 20 {
						time.Sleep(time.Second)
						select {
						case <-tick.C:
						default:
							t.Error("a ticker was not due after its interval")
						}
					}
				})
			}
			all.Wait()
		})
	}
}

func TestEveryTestUsesIt(t *testing.T) {
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() == "node_modules" {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "internal/bubble/") {
			return nil
		}
		source, err := fs.ReadFile(root, path)
		if err == nil && strings.Contains(string(source), "synctest."+"Test(") {
			t.Errorf("%s: call bubble.Test, for the reason that it gives", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
