-- Keys of providers: which one an attempt was sent with, what each comes to by
-- minute, hour and day, and how they changed. With them what else a trace says
-- since: how long it waited for its turn. Its strategy is in its plan.

-- +goose Up
-- +goose StatementBegin

CREATE TABLE keys (
    id       INTEGER PRIMARY KEY,
    provider TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    name     TEXT NOT NULL, -- '' counts the keys that found no room in this table
    UNIQUE (provider, endpoint, name)
) STRICT;

ALTER TABLE traces ADD COLUMN key INTEGER NOT NULL DEFAULT 0;    -- keys, of the last attempt; 0: none
ALTER TABLE traces ADD COLUMN queued INTEGER NOT NULL DEFAULT 0; -- of took, before the first attempt
ALTER TABLE attempts ADD COLUMN key INTEGER NOT NULL DEFAULT 0;  -- keys; 0: none

CREATE TABLE key_rollups (
    span          INTEGER NOT NULL, -- seconds: 60, 3600 or 86400
    start         INTEGER NOT NULL, -- seconds since 1970, UTC
    key           INTEGER NOT NULL, -- keys
    simulated     INTEGER NOT NULL, -- 1: seeded by the demo
    requests      INTEGER NOT NULL, -- attempts that ended
    throttled     INTEGER NOT NULL, -- of them, those that failed by a rate limit or quota
    input_tokens  INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cost          INTEGER NOT NULL,
    PRIMARY KEY (span, start, key, simulated)
) STRICT, WITHOUT ROWID;

CREATE TABLE key_changes (
    id         INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    provider   TEXT NOT NULL,
    endpoint   TEXT NOT NULL,
    name       TEXT NOT NULL,
    last4      TEXT NOT NULL, -- of the secret; '' of a short one
    from_state TEXT NOT NULL,
    to_state   TEXT NOT NULL,
    model      TEXT NOT NULL, -- '': all models
    until      INTEGER,       -- NULL where nobody knows
    reason     TEXT NOT NULL,
    request    INTEGER NOT NULL -- 0: none brought it about
) STRICT;

-- An incident is about a whole provider, or about one key or model of it.
ALTER TABLE incidents ADD COLUMN endpoint TEXT NOT NULL DEFAULT '';
ALTER TABLE incidents ADD COLUMN key TEXT NOT NULL DEFAULT '';
ALTER TABLE incidents ADD COLUMN model TEXT NOT NULL DEFAULT '';

DROP INDEX incidents_one_live;
CREATE UNIQUE INDEX incidents_one_live ON incidents (subject, endpoint, key, model) WHERE state IN ('pending', 'open');
-- +goose StatementEnd
