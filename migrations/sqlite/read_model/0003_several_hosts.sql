-- Several hosts on one database.

-- The hosts that are alive: each until its lease ends, which it renews as long as it
-- lives. All times of this table are by the clock of the database.
CREATE TABLE fantascope_hosts (
    host       TEXT    NOT NULL PRIMARY KEY,
    -- For people: the machine, and the process on it.
    name       TEXT    NOT NULL,
    -- Where its process can be looked for, to tell at once that it is gone.
    machine    TEXT    NOT NULL,
    process    TEXT    NOT NULL,
    started_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Grows with everything that hosts must know of each other. Whoever changes such a thing
-- raises it first, and so has the turn until the end of the transaction.
CREATE TABLE fantascope_revision (
    id       INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL
) STRICT;
INSERT INTO fantascope_revision (id, revision) VALUES (1, 0);

-- The host that folds the partition; nobody's if that host is not alive.
ALTER TABLE fantascope_checkpoints ADD COLUMN owner TEXT;

-- The host that carries the operation out.
ALTER TABLE fantascope_operations ADD COLUMN host TEXT;
