-- Versions side by side: how each one stands, what it runs, who did what to it.

-- Every plugin that was admitted, by the SHA-256 of its bytes: a host comes back
-- with what it ran, whatever has become of the files.
CREATE TABLE fantascope_plugins (
    digest      TEXT    NOT NULL UNIQUE,
    bytes       BLOB    NOT NULL,
    admitted_at INTEGER NOT NULL
) STRICT;

-- What was last seen under the name of a file. A file is deployed when its bytes
-- change, not each time the host starts.
CREATE TABLE fantascope_plugin_files (
    file    TEXT    NOT NULL,
    source  TEXT    NOT NULL CHECK (source IN ('folder', 'upload')),
    digest  TEXT    NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (file, source)
) STRICT, WITHOUT ROWID;

-- 'building': folds the history. 'ready': has caught up once. 'retired': its tables are gone.
ALTER TABLE fantascope_versions ADD COLUMN state TEXT NOT NULL DEFAULT 'ready'
    CHECK (state IN ('building', 'ready', 'retired'));
ALTER TABLE fantascope_versions ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
-- When it is to take the place of the live version by itself; NULL: not any more, or never.
ALTER TABLE fantascope_versions ADD COLUMN promote TEXT CHECK (promote IN ('ready', 'verified'));
-- The end of its backfill: the head of the store when it was begun.
ALTER TABLE fantascope_versions ADD COLUMN built_until INTEGER NOT NULL DEFAULT 0;
-- For a build of the past: its last position. It is never live.
ALTER TABLE fantascope_versions ADD COLUMN as_of INTEGER;
-- When it was live, first and last; NULL in the latter while it is.
ALTER TABLE fantascope_versions ADD COLUMN live_from INTEGER;
ALTER TABLE fantascope_versions ADD COLUMN live_to INTEGER;
-- The set of upcasters that its history is read with.
ALTER TABLE fantascope_versions ADD COLUMN upcasters INTEGER NOT NULL DEFAULT 0;

-- The component that folded what stands before the checkpoint last.
ALTER TABLE fantascope_checkpoints ADD COLUMN digest TEXT;

UPDATE fantascope_versions SET live_from = (
    SELECT since FROM fantascope_live l
    WHERE (l.projection, l.version, l.generation)
        = (fantascope_versions.projection, fantascope_versions.version, fantascope_versions.generation)
);
UPDATE fantascope_versions SET state = 'building', promote = 'ready'
WHERE version > (SELECT l.version FROM fantascope_live l WHERE l.projection = fantascope_versions.projection);

-- Who did what, when, and how it ended.
CREATE TABLE fantascope_operations (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    operation   TEXT    NOT NULL,
    -- What it was done to: a projection or an upcaster, and which version.
    subject     TEXT    NOT NULL,
    version     INTEGER,
    generation  INTEGER,
    actor       TEXT    NOT NULL,
    started_at  INTEGER NOT NULL,
    ended_at    INTEGER,
    outcome     TEXT    NOT NULL CHECK (outcome IN ('running', 'done', 'failed', 'cancelled', 'interrupted')),
    from_digest TEXT,
    to_digest   TEXT,
    position    INTEGER,
    -- For people.
    detail      TEXT    NOT NULL
) STRICT;

CREATE INDEX fantascope_operations_by_subject ON fantascope_operations (subject, id);

-- The upcasters that work together, from the events after a position on. A version
-- whose history is read with a set reads later events with later sets.
CREATE TABLE fantascope_upcaster_sets (
    number          INTEGER NOT NULL PRIMARY KEY CHECK (number >= 1),
    effective_after INTEGER NOT NULL,
    -- Their digests, a JSON array.
    digests         TEXT    NOT NULL,
    since           INTEGER NOT NULL
) STRICT;
