-- How far back the record is whole, now that retention removes what is old.

-- +goose Up
-- +goose StatementBegin

CREATE TABLE retained (
    what  TEXT PRIMARY KEY, -- 'traces'; or 'minute', 'hour' or 'day' of the rollups
    -- Microseconds since 1970: what ended before is gone, wholly or in part;
    -- what ended then or later is all there.
    since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- +goose StatementEnd
