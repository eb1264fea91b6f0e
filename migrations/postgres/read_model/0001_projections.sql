-- What the host knows of its projections. It lives with the read models, so that
-- rows and checkpoint change in one transaction. Instants are microseconds since
-- 1970-01-01T00:00:00Z.

-- One row per version that was ever built; its physical tables bear its name.
CREATE TABLE fantascope_versions (
    projection text   COLLATE "C" NOT NULL,
    version    bigint NOT NULL CHECK (version >= 1),
    generation bigint NOT NULL CHECK (generation >= 1),
    -- SHA-256 of the component that runs it, in hexadecimal.
    digest     text   NOT NULL,
    -- The tables as they were made: what a component of the same version must match.
    tables     text   NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (projection, version, generation)
);

-- Which version the stable views show.
CREATE TABLE fantascope_live (
    projection text   COLLATE "C" NOT NULL PRIMARY KEY,
    version    bigint NOT NULL,
    generation bigint NOT NULL,
    since      bigint NOT NULL,
    FOREIGN KEY (projection, version, generation) REFERENCES fantascope_versions
);

-- How far a partition of a version has come. `epoch` fences commits: it grows
-- with every owner, and who holds an old one can write nothing.
CREATE TABLE fantascope_checkpoints (
    projection     text   COLLATE "C" NOT NULL,
    version        bigint NOT NULL,
    generation     bigint NOT NULL,
    "partition"    bigint NOT NULL,
    position       bigint NOT NULL CHECK (position >= 0),
    -- The last event at or before `position`, and where it stands: it must still
    -- be there when the host comes back. Both are NULL before the first event.
    event_id       uuid,
    event_position bigint,
    epoch          bigint NOT NULL,
    updated_at     bigint NOT NULL,
    PRIMARY KEY (projection, version, generation, "partition"),
    FOREIGN KEY (projection, version, generation) REFERENCES fantascope_versions
)
-- Each commit writes one row again: room for it on its page spares the index.
WITH (fillfactor = 50);
