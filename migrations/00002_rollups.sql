-- Rollups: what the traces of a minute, hour or day come to, for every target
-- and for the callers' requests as a whole, written along with the traces.

-- +goose Up
-- +goose StatementBegin

CREATE TABLE rollups (
    span               INTEGER NOT NULL, -- seconds: 60, 3600 or 86400
    start              INTEGER NOT NULL, -- seconds since 1970, UTC
    subject            INTEGER NOT NULL, -- targets; 0: all callers' requests
    simulated          INTEGER NOT NULL, -- 1: seeded by the demo
    served             INTEGER NOT NULL,
    failed             INTEGER NOT NULL, -- counted against the target, or the caller got no answer
    throttled          INTEGER NOT NULL,
    other              INTEGER NOT NULL, -- failures that say nothing about the target's health
    cancelled          INTEGER NOT NULL,
    input_tokens       INTEGER NOT NULL,
    cache_read_tokens  INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens      INTEGER NOT NULL,
    reasoning_tokens   INTEGER NOT NULL,
    cost               INTEGER NOT NULL,
    took               BLOB NOT NULL, -- sketch, of what was served
    ttft               BLOB NOT NULL, -- sketch, of what was served
    PRIMARY KEY (span, start, subject, simulated)
) STRICT, WITHOUT ROWID;
-- +goose StatementEnd
