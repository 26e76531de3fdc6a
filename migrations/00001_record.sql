-- The record: what happened, row by row.
--
-- Ids are record.ID, which rises with time, so the primary key is also the
-- index by time and a day is one range of it. Figures are microseconds, tokens
-- and billionths of a US dollar; instants are microseconds since 1970, UTC.
-- Words that repeat in millions of rows are kept once in a dictionary; id 0
-- stands for the empty word. The big tables have no foreign keys: each would
-- cost every insert a lookup, and only the store's one writer fills them.

-- +goose Up
-- +goose StatementBegin

CREATE TABLE names (
    id   INTEGER PRIMARY KEY,
    kind TEXT NOT NULL, -- 'outcome', 'door', 'asked', 'caller' or 'class'
    name TEXT NOT NULL,
    UNIQUE (kind, name)
) STRICT;

-- SQLite keeps 0 and 1 in no bytes, and most requests are served.
INSERT INTO names (id, kind, name) VALUES (1, 'outcome', 'served');

CREATE TABLE targets (
    id       INTEGER PRIMARY KEY,
    provider TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    model    TEXT NOT NULL, -- '' counts the targets that found no room in this table
    UNIQUE (provider, endpoint, model)
) STRICT;

-- A plan is the preferred provider, the reason and all candidates with their
-- verdicts, as JSON. Equal plans are one row.
CREATE TABLE plans (
    id   INTEGER PRIMARY KEY,
    body TEXT NOT NULL UNIQUE
) STRICT;

-- One row for each request, with the figures of the attempt that served it.
CREATE TABLE traces (
    id                 INTEGER PRIMARY KEY,
    late               INTEGER NOT NULL, -- from the instant in the id to the acceptance
    took               INTEGER NOT NULL,
    ttft               INTEGER NOT NULL, -- 0: no content came
    outcome            INTEGER NOT NULL, -- names
    target             INTEGER NOT NULL, -- targets; 0: none served
    plan               INTEGER NOT NULL, -- plans
    door               INTEGER NOT NULL, -- names
    asked              INTEGER NOT NULL, -- names
    caller             INTEGER NOT NULL, -- names
    -- 1 stream, 2 simulated, 4 the last attempt is in this row, 8 it was a
    -- probe, 16 it was a canary, 32 there are rows in attempts, 64 the whole
    -- trace is in trace_overflow
    flags              INTEGER NOT NULL,
    status             INTEGER NOT NULL, -- HTTP, to the caller
    input_tokens       INTEGER NOT NULL,
    cache_read_tokens  INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens      INTEGER NOT NULL,
    reasoning_tokens   INTEGER NOT NULL,
    cost               INTEGER NOT NULL,
    -- of the last attempt, where it is in this row:
    start              INTEGER NOT NULL, -- from the acceptance to its start
    ttft_lag           INTEGER NOT NULL, -- ttft - start - its own ttft
    took_lag           INTEGER NOT NULL, -- took - start - its own took
    upstream_status    INTEGER,          -- NULL: equal to status
    upstream_id        TEXT NOT NULL
) STRICT;

CREATE INDEX traces_not_served ON traces (outcome) WHERE outcome <> 1;

-- The attempts that are not in their trace's row: in the main those that
-- did not serve.
CREATE TABLE attempts (
    trace              INTEGER NOT NULL,
    n                  INTEGER NOT NULL, -- counts from 0
    target             INTEGER NOT NULL, -- targets
    class              INTEGER NOT NULL, -- names; 0: it served
    status             INTEGER NOT NULL, -- HTTP, from the upstream; 0: none came
    start              INTEGER NOT NULL, -- since the acceptance
    ttft               INTEGER NOT NULL, -- since start; 0: no content came
    took               INTEGER NOT NULL, -- since start
    flags              INTEGER NOT NULL, -- 8 probe, 16 canary
    input_tokens       INTEGER NOT NULL,
    cache_read_tokens  INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens      INTEGER NOT NULL,
    reasoning_tokens   INTEGER NOT NULL,
    cost               INTEGER NOT NULL,
    code               TEXT NOT NULL,
    message            TEXT NOT NULL,
    upstream_id        TEXT NOT NULL,
    PRIMARY KEY (trace, n)
) STRICT, WITHOUT ROWID;

-- Traces with a word that found no room in a full dictionary, whole, as JSON.
CREATE TABLE trace_overflow (
    trace INTEGER PRIMARY KEY,
    body  TEXT NOT NULL
) STRICT;

CREATE TABLE transitions (
    id         INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    provider   TEXT NOT NULL,
    endpoint   TEXT NOT NULL,
    model      TEXT NOT NULL,
    from_state TEXT NOT NULL,
    to_state   TEXT NOT NULL,
    reason     TEXT NOT NULL,
    request    INTEGER NOT NULL -- 0: time brought it about
) STRICT;

CREATE TABLE holds (
    id       INTEGER PRIMARY KEY,
    provider TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    model    TEXT NOT NULL,
    source   TEXT NOT NULL,
    reason   TEXT NOT NULL,
    placed   INTEGER NOT NULL,
    expires  INTEGER NOT NULL,
    ended    INTEGER, -- NULL while it stands
    ending   TEXT NOT NULL
) STRICT;

CREATE TABLE incidents (
    id      INTEGER PRIMARY KEY,
    number  INTEGER UNIQUE, -- NULL until it opens
    subject TEXT NOT NULL,
    state   TEXT NOT NULL,
    title   TEXT NOT NULL,
    began   INTEGER NOT NULL,
    opened  INTEGER, -- NULL while pending
    ended   INTEGER  -- NULL while it lasts
) STRICT;

CREATE UNIQUE INDEX incidents_one_live ON incidents (subject) WHERE state IN ('pending', 'open');

CREATE TABLE incident_events (
    incident INTEGER NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    n        INTEGER NOT NULL, -- counts from 0
    at       INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    text     TEXT NOT NULL,
    PRIMARY KEY (incident, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE notices (
    id       INTEGER PRIMARY KEY,
    incident INTEGER NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    channel  TEXT NOT NULL,
    kind     TEXT NOT NULL,
    created  INTEGER NOT NULL,
    sent     INTEGER, -- NULL until the channel confirmed it
    attempts INTEGER NOT NULL,
    next_try INTEGER, -- NULL: at once
    receipt  TEXT NOT NULL,
    error    TEXT NOT NULL
) STRICT;

CREATE INDEX notices_by_incident ON notices (incident, channel);
CREATE INDEX notices_unsent ON notices (incident, channel) WHERE sent IS NULL;
-- +goose StatementEnd
