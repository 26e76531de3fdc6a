-- What parts of Breakwater know and take up again after a restart, such as what
-- is usual for each target.

-- +goose Up
-- +goose StatementBegin

CREATE TABLE state (
    name TEXT PRIMARY KEY,
    at   INTEGER NOT NULL, -- microseconds since 1970
    body BLOB NOT NULL     -- in a form of the part's own, with its version
) STRICT, WITHOUT ROWID;
-- +goose StatementEnd
