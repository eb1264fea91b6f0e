-- Several hosts on one database.

-- The hosts that are alive: each until its lease ends, which it renews as long as it
-- lives. All times of this table are by the clock of the database.
CREATE TABLE fantascope_hosts (
    host       text   COLLATE "C" NOT NULL PRIMARY KEY,
    -- For people: the machine, and the process on it.
    name       text   NOT NULL,
    -- Where its process can be looked for, to tell at once that it is gone.
    machine    text   NOT NULL,
    process    text   NOT NULL,
    started_at bigint NOT NULL,
    expires_at bigint NOT NULL
) WITH (fillfactor = 50);

-- Grows with everything that hosts must know of each other. Whoever changes such a thing
-- raises it first, and so has the turn until the end of the transaction.
CREATE TABLE fantascope_revision (
    id       bigint NOT NULL PRIMARY KEY CHECK (id = 1),
    revision bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO fantascope_revision (id, revision) VALUES (1, 0);

-- The host that folds the partition; nobody's if that host is not alive.
ALTER TABLE fantascope_checkpoints ADD COLUMN owner text COLLATE "C";

-- The host that carries the operation out.
ALTER TABLE fantascope_operations ADD COLUMN host text COLLATE "C";
