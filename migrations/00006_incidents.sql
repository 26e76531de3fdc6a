-- An incident is one story of one kind of trouble: how bad it was, when callers
-- were served elsewhere, who took it on, what it meant and what people wrote.
-- With them the silences and maintenance windows that keep channels quiet.

-- +goose Up
-- +goose StatementBegin

ALTER TABLE incidents ADD COLUMN topic TEXT NOT NULL DEFAULT 'provider';
ALTER TABLE incidents ADD COLUMN severity TEXT NOT NULL DEFAULT 'warning';
ALTER TABLE incidents ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE incidents ADD COLUMN mitigated INTEGER; -- NULL before
ALTER TABLE incidents ADD COLUMN reopened INTEGER NOT NULL DEFAULT 0;
ALTER TABLE incidents ADD COLUMN acknowledged INTEGER; -- NULL until somebody took it on
ALTER TABLE incidents ADD COLUMN acknowledged_by TEXT NOT NULL DEFAULT '';
ALTER TABLE incidents ADD COLUMN silenced INTEGER NOT NULL DEFAULT 0; -- 1: nobody was told
ALTER TABLE incidents ADD COLUMN served_by TEXT NOT NULL DEFAULT '';
ALTER TABLE incidents ADD COLUMN rerouted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE incidents ADD COLUMN failed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE incidents ADD COLUMN added INTEGER NOT NULL DEFAULT 0; -- to a rerouted request, on average
ALTER TABLE incidents ADD COLUMN extra INTEGER NOT NULL DEFAULT 0;
ALTER TABLE incidents ADD COLUMN write_up TEXT NOT NULL DEFAULT '';

UPDATE incidents SET topic = CASE WHEN key <> '' THEN 'key' WHEN model <> '' THEN 'model' ELSE 'provider' END;

DROP INDEX incidents_one_live;
CREATE UNIQUE INDEX incidents_one_live ON incidents (topic, subject, endpoint, key, model, name)
    WHERE state IN ('pending', 'open', 'mitigated', 'recovering');

ALTER TABLE incident_events ADD COLUMN by TEXT NOT NULL DEFAULT ''; -- '': Breakwater noted it itself
ALTER TABLE notices ADD COLUMN text TEXT NOT NULL DEFAULT '';

CREATE TABLE silences (
    id          INTEGER PRIMARY KEY,
    maintenance INTEGER NOT NULL, -- 1: planned, and what happens meanwhile is no downtime
    provider    TEXT NOT NULL,    -- '': all
    topic       TEXT NOT NULL,    -- '': all
    reason      TEXT NOT NULL,
    by          TEXT NOT NULL,
    begins      INTEGER NOT NULL,
    until       INTEGER NOT NULL,
    ended       INTEGER, -- NULL unless somebody ended it early
    ended_by    TEXT NOT NULL
) STRICT;
-- +goose StatementEnd
