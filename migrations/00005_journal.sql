-- How much of the journal is in the tables. The row changes in the transaction
-- that writes the entries, so that after a kill each is written exactly once.

-- +goose Up
-- +goose StatementBegin

CREATE TABLE journal (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    name    TEXT NOT NULL,   -- of this database's segments; those of another one are left alone
    written INTEGER NOT NULL -- the number of the last entry that is in the tables
) STRICT;

INSERT INTO journal (one, name, written) VALUES (1, lower(hex(randomblob(8))), 0);
-- +goose StatementEnd
