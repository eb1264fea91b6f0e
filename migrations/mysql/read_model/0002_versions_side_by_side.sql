-- Versions side by side: how each one stands, what it runs, who did what to it.

-- Every plugin that was admitted, by the SHA-256 of its bytes: a host comes back
-- with what it ran, whatever has become of the files.
CREATE TABLE fantascope_plugins (
    digest      VARCHAR(190) NOT NULL PRIMARY KEY,
    bytes       LONGBLOB NOT NULL,
    admitted_at BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {exact};

-- What was last seen under the name of a file. A file is deployed when its bytes
-- change, not each time the host starts.
CREATE TABLE fantascope_plugin_files (
    file    VARCHAR(190) NOT NULL,
    source  VARCHAR(190) NOT NULL CHECK (source IN ('folder', 'upload')),
    digest  VARCHAR(190)   NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (file, source)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {exact};

ALTER TABLE fantascope_versions
    -- 'building': folds the history. 'ready': has caught up once. 'retired': its tables are gone.
    ADD COLUMN state VARCHAR(190) NOT NULL DEFAULT 'ready' CHECK (state IN ('building', 'ready', 'retired')),
    ADD COLUMN paused BOOLEAN NOT NULL DEFAULT false,
    -- When it is to take the place of the live version by itself; NULL: not any more, or never.
    ADD COLUMN promote VARCHAR(190) CHECK (promote IN ('ready', 'verified')),
    -- The end of its backfill: the head of the store when it was begun.
    ADD COLUMN built_until BIGINT NOT NULL DEFAULT 0,
    -- For a build of the past: its last position. It is never live.
    ADD COLUMN as_of BIGINT,
    -- When it was live, first and last; NULL in the latter while it is.
    ADD COLUMN live_from BIGINT,
    ADD COLUMN live_to BIGINT,
    -- The set of upcasters that its history is read with.
    ADD COLUMN upcasters BIGINT NOT NULL DEFAULT 0;

-- The component that folded what stands before the checkpoint last.
ALTER TABLE fantascope_checkpoints ADD COLUMN digest VARCHAR(190);

-- Who did what, when, and how it ended.
CREATE TABLE fantascope_operations (
    id          BIGINT AUTO_INCREMENT PRIMARY KEY,
    operation   LONGTEXT   NOT NULL,
    -- What it was done to: a projection or an upcaster, and which version.
    subject     VARCHAR(190) NOT NULL,
    version     BIGINT,
    generation  BIGINT,
    actor       LONGTEXT   NOT NULL,
    started_at  BIGINT NOT NULL,
    ended_at    BIGINT,
    outcome     VARCHAR(190)   NOT NULL CHECK (outcome IN ('running', 'done', 'failed', 'cancelled', 'interrupted')),
    from_digest VARCHAR(190),
    to_digest   VARCHAR(190),
    position    BIGINT,
    -- For people.
    detail      LONGTEXT   NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {exact};

CREATE INDEX fantascope_operations_by_subject ON fantascope_operations (subject, id);

-- The upcasters that work together, from the events after a position on. A version
-- whose history is read with a set reads later events with later sets.
CREATE TABLE fantascope_upcaster_sets (
    number          BIGINT NOT NULL PRIMARY KEY CHECK (number >= 1),
    effective_after BIGINT NOT NULL,
    -- Their digests, a JSON array.
    digests         LONGTEXT   NOT NULL,
    since           BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {exact};
