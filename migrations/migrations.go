// Package migrations holds the database's schema as numbered SQL files, which
// package store applies in order, each in a transaction of its own. A file
// that was released is never changed; what comes later gets the next number.
package migrations

import "embed"

// FS holds the files, in goose's format.
//
//go:embed *.sql
var FS embed.FS
