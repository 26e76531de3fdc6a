-- The list of incidents is read a page at a time with any filter, and what
-- lasted until lately is read for every status page; how a channel stands, for
-- every page of alerts. None of them may walk through all that ever was.

-- +goose Up
-- +goose StatementBegin

CREATE INDEX incidents_listed ON incidents (id, number, topic, subject, severity, state) WHERE number IS NOT NULL;
CREATE INDEX incidents_by_end ON incidents (ended) WHERE number IS NOT NULL;
CREATE INDEX notices_by_channel ON notices (channel);
-- +goose StatementEnd
