-- What the host knows of its projections. It lives with the read models, so that
-- rows and checkpoint change in one transaction.

-- One row per version that was ever built; its physical tables bear its name.
CREATE TABLE fantascope_versions (
    projection TEXT    NOT NULL,
    version    INTEGER NOT NULL CHECK (version >= 1),
    generation INTEGER NOT NULL CHECK (generation >= 1),
    -- SHA-256 of the component that runs it, in hexadecimal.
    digest     TEXT    NOT NULL,
    -- The tables as they were made: what a component of the same version must match.
    tables     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (projection, version, generation)
) STRICT, WITHOUT ROWID;

-- Which version the stable views show.
CREATE TABLE fantascope_live (
    projection TEXT    NOT NULL PRIMARY KEY,
    version    INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    since      INTEGER NOT NULL,
    FOREIGN KEY (projection, version, generation) REFERENCES fantascope_versions
) STRICT, WITHOUT ROWID;

-- How far a partition of a version has come. `epoch` fences commits: it grows
-- with every owner, and who holds an old one can write nothing.
CREATE TABLE fantascope_checkpoints (
    projection TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    partition  INTEGER NOT NULL,
    position   INTEGER NOT NULL CHECK (position >= 0),
    -- The last event at or before `position`, and where it stands: it must still
    -- be there when the host comes back. Both are NULL before the first event.
    event_id       BLOB,
    event_position INTEGER,
    epoch      INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (projection, version, generation, partition),
    FOREIGN KEY (projection, version, generation) REFERENCES fantascope_versions
) STRICT, WITHOUT ROWID;
