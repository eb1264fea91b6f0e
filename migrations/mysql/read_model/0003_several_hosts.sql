-- Several hosts on one database.

-- The hosts that are alive: each until its lease ends, which it renews as long as it
-- lives. All times of this table are by the clock of the database.
CREATE TABLE fantascope_hosts (
    host       VARCHAR(190) NOT NULL PRIMARY KEY,
    -- For people: the machine, and the process on it.
    name       LONGTEXT   NOT NULL,
    -- Where its process can be looked for, to tell at once that it is gone.
    machine    LONGTEXT   NOT NULL,
    process    LONGTEXT   NOT NULL,
    started_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {exact};

-- Grows with everything that hosts must know of each other. Whoever changes such a thing
-- raises it first, and so has the turn until the end of the transaction.
CREATE TABLE fantascope_revision (
    id       BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {exact};
INSERT INTO fantascope_revision (id, revision) VALUES (1, 0);

-- The host that folds the partition; nobody's if that host is not alive.
ALTER TABLE fantascope_checkpoints ADD COLUMN owner VARCHAR(190);

-- The host that carries the operation out.
ALTER TABLE fantascope_operations ADD COLUMN host VARCHAR(190);
