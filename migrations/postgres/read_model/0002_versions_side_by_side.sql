-- Versions side by side: how each one stands, what it runs, who did what to it.

-- Every plugin that was admitted, by the SHA-256 of its bytes: a host comes back
-- with what it ran, whatever has become of the files.
CREATE TABLE fantascope_plugins (
    digest      text   COLLATE "C" NOT NULL PRIMARY KEY,
    bytes       bytea  NOT NULL,
    admitted_at bigint NOT NULL
);

-- What was last seen under the name of a file. A file is deployed when its bytes
-- change, not each time the host starts.
CREATE TABLE fantascope_plugin_files (
    file    text   COLLATE "C" NOT NULL,
    source  text   COLLATE "C" NOT NULL CHECK (source IN ('folder', 'upload')),
    digest  text   NOT NULL,
    seen_at bigint NOT NULL,
    PRIMARY KEY (file, source)
);

ALTER TABLE fantascope_versions
    -- 'building': folds the history. 'ready': has caught up once. 'retired': its tables are gone.
    ADD COLUMN state text NOT NULL DEFAULT 'ready' CHECK (state IN ('building', 'ready', 'retired')),
    ADD COLUMN paused boolean NOT NULL DEFAULT false,
    -- When it is to take the place of the live version by itself; NULL: not any more, or never.
    ADD COLUMN promote text CHECK (promote IN ('ready', 'verified')),
    -- The end of its backfill: the head of the store when it was begun.
    ADD COLUMN built_until bigint NOT NULL DEFAULT 0,
    -- For a build of the past: its last position. It is never live.
    ADD COLUMN as_of bigint,
    -- When it was live, first and last; NULL in the latter while it is.
    ADD COLUMN live_from bigint,
    ADD COLUMN live_to bigint,
    -- The set of upcasters that its history is read with.
    ADD COLUMN upcasters bigint NOT NULL DEFAULT 0;

-- The component that folded what stands before the checkpoint last.
ALTER TABLE fantascope_checkpoints ADD COLUMN digest text;

-- Who did what, when, and how it ended.
CREATE TABLE fantascope_operations (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operation   text   NOT NULL,
    -- What it was done to: a projection or an upcaster, and which version.
    subject     text   COLLATE "C" NOT NULL,
    version     bigint,
    generation  bigint,
    actor       text   NOT NULL,
    started_at  bigint NOT NULL,
    ended_at    bigint,
    outcome     text   NOT NULL CHECK (outcome IN ('running', 'done', 'failed', 'cancelled', 'interrupted')),
    from_digest text,
    to_digest   text,
    position    bigint,
    -- For people.
    detail      text   NOT NULL
);

CREATE INDEX fantascope_operations_by_subject ON fantascope_operations (subject, id);

-- The upcasters that work together, from the events after a position on. A version
-- whose history is read with a set reads later events with later sets.
CREATE TABLE fantascope_upcaster_sets (
    number          bigint NOT NULL PRIMARY KEY CHECK (number >= 1),
    effective_after bigint NOT NULL,
    -- Their digests, a JSON array.
    digests         text   NOT NULL,
    since           bigint NOT NULL
);
