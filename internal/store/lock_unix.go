//go:build unix

package store

import (
	"fmt"
	"os"
	"syscall"
)

// lock keeps a second Breakwater away from the database: two would give the
// same ids and lose each other's rows. The lock is the process's and goes with
// it, however it ends.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%s: the lock file beside it cannot be made: %w", path, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: another Breakwater uses this database; stop it, or give this one a database of its own (BREAKWATER_DB)", path)
	}
	return f, nil
}
