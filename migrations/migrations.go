// Package migrations holds the database's schema as numbered SQL files, which
// package store applies in order, each in a transaction of its own. What a
// released file does to the schema is never changed, since databases have it
// behind them; what comes later gets the next number.
//
// To goose each file is one statement, which SQLite takes apart: goose's parser
// takes a buffer of 4 MB for each line outside of StatementBegin and StatementEnd.
package migrations

import "embed"

// FS holds the files, in goose's format.
//
//go:embed *.sql
var FS embed.FS
