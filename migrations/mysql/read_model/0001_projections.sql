-- What the host knows of its projections. It lives with the read models, so that
-- rows and checkpoint change in one transaction. Instants are microseconds since
-- 1970-01-01T00:00:00Z.

-- One row per version that was ever built; its physical tables bear its name.
CREATE TABLE fantascope_versions (
    projection VARCHAR(190) NOT NULL,
    version    BIGINT NOT NULL CHECK (version >= 1),
    generation BIGINT NOT NULL CHECK (generation >= 1),
    -- SHA-256 of the component that runs it, in hexadecimal.
    digest     VARCHAR(190)   NOT NULL,
    -- The tables as they were made: what a component of the same version must match.
    tables     LONGTEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (projection, version, generation)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {exact};

-- Which version the stable views show.
CREATE TABLE fantascope_live (
    projection VARCHAR(190) NOT NULL PRIMARY KEY,
    version    BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    since      BIGINT NOT NULL,
    FOREIGN KEY (projection, version, generation) REFERENCES fantascope_versions (projection, version, generation)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {exact};

-- How far a partition of a version has come. `epoch` fences commits: it grows
-- with every owner, and who holds an old one can write nothing.
CREATE TABLE fantascope_checkpoints (
    projection     VARCHAR(190) NOT NULL,
    version        BIGINT NOT NULL,
    generation     BIGINT NOT NULL,
    `partition`    BIGINT NOT NULL,
    position       BIGINT NOT NULL CHECK (position >= 0),
    -- The last event at or before `position`, and where it stands: it must still
    -- be there when the host comes back. Both are NULL before the first event.
    event_id       BINARY(16),
    event_position BIGINT,
    epoch          BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    PRIMARY KEY (projection, version, generation, `partition`),
    FOREIGN KEY (projection, version, generation) REFERENCES fantascope_versions (projection, version, generation)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {exact};
