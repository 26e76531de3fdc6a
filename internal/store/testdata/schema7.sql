BEGIN TRANSACTION;
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
    upstream_id        TEXT NOT NULL, key INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (trace, n)
) STRICT, WITHOUT ROWID;
INSERT INTO "attempts" VALUES(3,0,2,4,503,80,0,250000,0,0,0,0,0,0,0,'UNAVAILABLE','The model is overloaded.','gem-1',0);
CREATE TABLE goose_db_version (
		id INTEGER PRIMARY KEY AUTOINCREMENT,
		version_id INTEGER NOT NULL,
		is_applied INTEGER NOT NULL,
		tstamp TIMESTAMP DEFAULT (datetime('now'))
	);
INSERT INTO "goose_db_version" VALUES(1,0,1,'2026-11-23 03:48:12');
INSERT INTO "goose_db_version" VALUES(2,1,1,'2026-11-23 03:48:12');
INSERT INTO "goose_db_version" VALUES(3,2,1,'2026-11-23 03:48:13');
INSERT INTO "goose_db_version" VALUES(4,3,1,'2026-11-23 03:48:13');
INSERT INTO "goose_db_version" VALUES(6,4,1,'2026-11-23 03:48:13');
INSERT INTO "goose_db_version" VALUES(7,5,1,'2026-11-23 04:10:31');
INSERT INTO "goose_db_version" VALUES(8,6,1,'2026-11-23 05:45:00');
INSERT INTO "goose_db_version" VALUES(9,7,1,'2026-11-23 06:20:00');
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
INSERT INTO "holds" VALUES(6,'claude','','claude-sonnet-4-5','anomaly','slow',1773489600000000,1773489660000000,NULL,'');
CREATE TABLE incident_events (
    incident INTEGER NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
    n        INTEGER NOT NULL, -- counts from 0
    at       INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    text     TEXT NOT NULL, by TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (incident, n)
) STRICT, WITHOUT ROWID;
INSERT INTO "incident_events" VALUES(8,0,1773489600000000,'opened','a key','');
CREATE TABLE incidents (
    id      INTEGER PRIMARY KEY,
    number  INTEGER UNIQUE, -- NULL until it opens
    subject TEXT NOT NULL,
    state   TEXT NOT NULL,
    title   TEXT NOT NULL,
    began   INTEGER NOT NULL,
    opened  INTEGER, -- NULL while pending
    ended   INTEGER  -- NULL while it lasts
, endpoint TEXT NOT NULL DEFAULT '', key TEXT NOT NULL DEFAULT '', model TEXT NOT NULL DEFAULT '', topic TEXT NOT NULL DEFAULT 'provider', severity TEXT NOT NULL DEFAULT 'warning', name TEXT NOT NULL DEFAULT '', mitigated INTEGER, reopened INTEGER NOT NULL DEFAULT 0, acknowledged INTEGER, acknowledged_by TEXT NOT NULL DEFAULT '', silenced INTEGER NOT NULL DEFAULT 0, served_by TEXT NOT NULL DEFAULT '', rerouted INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, added INTEGER NOT NULL DEFAULT 0, extra INTEGER NOT NULL DEFAULT 0, write_up TEXT NOT NULL DEFAULT '') STRICT;
INSERT INTO "incidents" VALUES(8,1,'claude','open','a key',1773489600000000,NULL,NULL,'','main ····x7Qf','','key','warning','',NULL,0,NULL,'',0,'',0,0,0,0,'');
INSERT INTO "incidents" VALUES(10,2,'gemini','resolved','Gemini is failing',1773489600000000,1773489660000000,1773490200000000,'','','','provider','warning','',NULL,0,NULL,'',0,'',0,0,0,0,'');
INSERT INTO "incidents" VALUES(11,3,'openai','resolved','a model',1773489600000000,1773489600000000,1773490200000000,'eu','','gpt-4-32k','model','warning','',NULL,0,NULL,'',0,'',0,0,0,0,'');
CREATE TABLE journal (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    name    TEXT NOT NULL,   -- of this database's segments; those of another one are left alone
    written INTEGER NOT NULL -- the number of the last entry that is in the tables
) STRICT;
INSERT INTO "journal" VALUES(1,'5f0d2b7c9a4e1836',0);
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
INSERT INTO "key_changes" VALUES(7,1773489600000000,'claude','','main','x7Qf','usable','cooling','',NULL,'HTTP 429',0);
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
INSERT INTO "key_rollups" VALUES(60,1773489600,1,0,3,0,2436,720,18108000);
INSERT INTO "key_rollups" VALUES(3600,1773489600,1,0,3,0,2436,720,18108000);
INSERT INTO "key_rollups" VALUES(86400,1773446400,1,0,3,0,2436,720,18108000);
CREATE TABLE keys (
    id       INTEGER PRIMARY KEY,
    provider TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    name     TEXT NOT NULL, -- '' counts the keys that found no room in this table
    UNIQUE (provider, endpoint, name)
) STRICT;
INSERT INTO "keys" VALUES(1,'claude','','main');
CREATE TABLE names (
    id   INTEGER PRIMARY KEY,
    kind TEXT NOT NULL, -- 'outcome', 'door', 'asked', 'caller' or 'class'
    name TEXT NOT NULL,
    UNIQUE (kind, name)
) STRICT;
INSERT INTO "names" VALUES(1,'outcome','served');
INSERT INTO "names" VALUES(2,'door','openai-chat');
INSERT INTO "names" VALUES(3,'asked','claude');
INSERT INTO "names" VALUES(4,'class','server');
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
, text TEXT NOT NULL DEFAULT '') STRICT;
INSERT INTO "notices" VALUES(9,8,'ops','opened',1773489600000000,NULL,0,NULL,'','','');
CREATE TABLE plans (
    id   INTEGER PRIMARY KEY,
    body TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO "plans" VALUES(1,'{"preferred":"claude","reason":"claude was asked for","candidates":[{"target":{"Provider":"claude","Endpoint":"","Model":"claude-sonnet-4-5"},"verdict":"served"},{"target":{"Provider":"gemini","Endpoint":"","Model":"gemini-2.5-pro"},"verdict":"not_needed"},{"target":{"Provider":"openai","Endpoint":"eu","Model":"gpt-4o"},"verdict":"not_needed"}]}');
INSERT INTO "plans" VALUES(2,'{"preferred":"claude","strategy":"latency","reason":"claude was asked for","candidates":[{"target":{"Provider":"claude","Endpoint":"","Model":"claude-sonnet-4-5"},"verdict":"served"},{"target":{"Provider":"gemini","Endpoint":"","Model":"gemini-2.5-pro"},"verdict":"not_needed"},{"target":{"Provider":"openai","Endpoint":"eu","Model":"gpt-4o"},"verdict":"not_needed"}]}');
INSERT INTO "plans" VALUES(3,'{"preferred":"gemini","reason":"gemini failed (server, HTTP 503), claude answered","candidates":[{"target":{"Provider":"gemini","Endpoint":"","Model":"gemini-2.5-pro"},"verdict":"tried_failed","detail":"server"},{"target":{"Provider":"claude","Endpoint":"","Model":"claude-sonnet-4-5"},"verdict":"served"},{"target":{"Provider":"openai","Endpoint":"eu","Model":"gpt-4o"},"verdict":"not_needed"}]}');
CREATE TABLE retained (
    what  TEXT PRIMARY KEY, -- 'traces'; or 'minute', 'hour' or 'day' of the rollups
    -- Microseconds since 1970: what ended before is gone, wholly or in part;
    -- what ended then or later is all there.
    since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "retained" VALUES('traces',1773403200000000);
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
INSERT INTO "rollups" VALUES(60,1773489600,0,0,4,0,0,0,0,3248,0,0,960,0,24144000,X'01D80504',X'01870504');
INSERT INTO "rollups" VALUES(60,1773489600,1,0,4,0,0,0,0,3248,0,0,960,0,24144000,X'01D80504',X'01870504');
INSERT INTO "rollups" VALUES(60,1773489600,2,0,0,1,0,0,0,0,0,0,0,0,0,X'',X'');
INSERT INTO "rollups" VALUES(3600,1773489600,0,0,4,0,0,0,0,3248,0,0,960,0,24144000,X'01D80504',X'01870504');
INSERT INTO "rollups" VALUES(3600,1773489600,1,0,4,0,0,0,0,3248,0,0,960,0,24144000,X'01D80504',X'01870504');
INSERT INTO "rollups" VALUES(3600,1773489600,2,0,0,1,0,0,0,0,0,0,0,0,0,X'',X'');
INSERT INTO "rollups" VALUES(86400,1773446400,0,0,4,0,0,0,0,3248,0,0,960,0,24144000,X'01D80504',X'01870504');
INSERT INTO "rollups" VALUES(86400,1773446400,1,0,4,0,0,0,0,3248,0,0,960,0,24144000,X'01D80504',X'01870504');
INSERT INTO "rollups" VALUES(86400,1773446400,2,0,0,1,0,0,0,0,0,0,0,0,0,X'',X'');
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
CREATE TABLE state (
    name TEXT PRIMARY KEY,
    at   INTEGER NOT NULL, -- microseconds since 1970
    body BLOB NOT NULL     -- in a form of the part's own, with its version
) STRICT, WITHOUT ROWID;
INSERT INTO "state" VALUES('detector',1773489600000000,X'01');
CREATE TABLE targets (
    id       INTEGER PRIMARY KEY,
    provider TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    model    TEXT NOT NULL, -- '' counts the targets that found no room in this table
    UNIQUE (provider, endpoint, model)
) STRICT;
INSERT INTO "targets" VALUES(1,'claude','','claude-sonnet-4-5');
INSERT INTO "targets" VALUES(2,'gemini','','gemini-2.5-pro');
CREATE TABLE trace_overflow (
    trace INTEGER PRIMARY KEY,
    body  TEXT NOT NULL
) STRICT;
INSERT INTO "trace_overflow" VALUES(4,'{"ID":4,"Accepted":"2026-03-14T12:00:00Z","TTFT":412345000,"Took":2103456000,"Door":"openai-chat","Asked":"a name too many","Preferred":"claude","Caller":"","Stream":true,"Outcome":"served","Status":200,"Served":{"Provider":"claude","Endpoint":"","Model":"claude-sonnet-4-5"},"Reason":"claude was asked for","Attempts":[{"Target":{"Provider":"claude","Endpoint":"","Model":"claude-sonnet-4-5"},"Start":85000,"TTFT":412200000,"Took":2103300000,"Class":"","Status":200,"Code":"","Message":"","UpstreamID":"req_011CSHoEeqs5C35K2UUqR7Fy","Usage":{"Input":812,"CacheRead":0,"CacheWrite":0,"CacheWrite1h":0,"Output":240,"Reasoning":0,"AudioIn":0,"AudioOut":0},"Cost":6036000,"Probe":false,"Canary":false,"Hedge":false,"LastResort":false,"Key":"main"}],"Plan":[{"target":{"Provider":"claude","Endpoint":"","Model":"claude-sonnet-4-5"},"verdict":"served"},{"target":{"Provider":"gemini","Endpoint":"","Model":"gemini-2.5-pro"},"verdict":"not_needed"},{"target":{"Provider":"openai","Endpoint":"eu","Model":"gpt-4o"},"verdict":"not_needed"}],"Usage":{"Input":812,"CacheRead":0,"CacheWrite":0,"CacheWrite1h":0,"Output":240,"Reasoning":0,"AudioIn":0,"AudioOut":0},"Cost":6036000,"Simulated":false,"Strategy":"","Queued":0}');
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
, key INTEGER NOT NULL DEFAULT 0, queued INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO "traces" VALUES(1,37800000000000,2103456,412345,1,1,1,2,3,0,5,200,812,0,0,240,0,6036000,85,60,71,NULL,'req_011CSHoEeqs5C35K2UUqR7Fy',1,0);
INSERT INTO "traces" VALUES(2,37800000000000,2103456,412345,1,1,2,2,3,0,21,200,812,0,0,240,0,6036000,85,60,71,NULL,'req_011CSHoEeqs5C35K2UUqR7Fy',1,3000000);
INSERT INTO "traces" VALUES(3,37800000000000,2103456,412345,1,1,3,2,3,0,37,200,812,0,0,240,0,6036000,300000,-299855,-299844,NULL,'req_011CSHoEeqs5C35K2UUqR7Fy',0,0);
INSERT INTO "traces" VALUES(4,37800000000000,2103456,412345,1,1,1,2,0,0,69,200,812,0,0,240,0,6036000,85,60,71,NULL,'req_011CSHoEeqs5C35K2UUqR7Fy',1,0);
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
INSERT INTO "transitions" VALUES(5,1773489600000000,'claude','','claude-sonnet-4-5','closed','open','3 failures in a row, last: server',0);
CREATE INDEX traces_not_served ON traces (outcome) WHERE outcome <> 1;
CREATE INDEX notices_by_incident ON notices (incident, channel);
CREATE INDEX notices_unsent ON notices (incident, channel) WHERE sent IS NULL;
CREATE UNIQUE INDEX incidents_one_live ON incidents (topic, subject, endpoint, key, model, name)
    WHERE state IN ('pending', 'open', 'mitigated', 'recovering');
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('goose_db_version',9);
COMMIT;
