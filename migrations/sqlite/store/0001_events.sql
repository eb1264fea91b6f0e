-- The event store. Positions order all events; within one file SQLite has one
-- writer, so the order of positions is the order of commits.
CREATE TABLE events (
    -- AUTOINCREMENT: a position is never given out twice, whatever happens.
    position          INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id          BLOB    NOT NULL UNIQUE CHECK (length(event_id) = 16),
    event_type        TEXT    NOT NULL CHECK (event_type <> ''),
    event_version     INTEGER NOT NULL DEFAULT 1 CHECK (event_version BETWEEN 1 AND 4294967295),
    aggregate_type    TEXT    NOT NULL CHECK (aggregate_type <> ''),
    aggregate_id      TEXT    NOT NULL CHECK (aggregate_id <> ''),
    aggregate_version INTEGER NOT NULL CHECK (aggregate_version >= 1),
    -- Microseconds since 1970-01-01T00:00:00Z.
    event_timestamp   INTEGER NOT NULL,
    user_id           TEXT CHECK (user_id <> ''),
    correlation_id    TEXT CHECK (correlation_id <> ''),
    causation_id      TEXT CHECK (causation_id <> ''),
    -- JSON objects, byte for byte as they were appended. NULL stands for {}.
    metadata          TEXT,
    event_data        TEXT    NOT NULL,
    UNIQUE (aggregate_type, aggregate_id, aggregate_version)
) STRICT;

CREATE INDEX events_by_type ON events (event_type, event_timestamp);
CREATE INDEX events_by_correlation ON events (correlation_id) WHERE correlation_id IS NOT NULL;

CREATE TRIGGER events_are_never_updated BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are immutable: append a compensating event instead of an UPDATE');
END;

-- INSERT OR REPLACE deletes without asking the trigger below.
CREATE TRIGGER events_are_never_replaced BEFORE INSERT ON events
WHEN EXISTS (SELECT 1 FROM events WHERE position = NEW.position)
    OR EXISTS (SELECT 1 FROM events WHERE event_id = NEW.event_id)
    OR EXISTS (
        SELECT 1 FROM events
        WHERE aggregate_type = NEW.aggregate_type
            AND aggregate_id = NEW.aggregate_id
            AND aggregate_version = NEW.aggregate_version
    )
BEGIN
    SELECT RAISE(ABORT, 'events are immutable: there is one at this position, with this id or at this place in its aggregate');
END;

CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are immutable: append a compensating event instead of a DELETE');
END;
