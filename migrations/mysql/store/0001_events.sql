-- The event store. Positions order all events. Many append at once, so the order of
-- positions is not the order of commits: the gates below tell readers how far they may go.

-- Before a position is drawn, the transaction takes a share lock on the gate whose turn it is
-- by the clock, so nobody waits. Once each gate was free at some moment since a position was
-- seen, every transaction that drew one up to there has ended. As the turn goes round, no gate
-- stays taken however many append.
CREATE TABLE fantascope_gates (
    slot BIGINT NOT NULL PRIMARY KEY
) ENGINE = InnoDB;

INSERT INTO fantascope_gates (slot)
SELECT ones.digit + 10 * tens.digit + 100 * hundreds.digit
FROM (SELECT 0 AS digit UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4
      UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9) ones
CROSS JOIN (SELECT 0 AS digit UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4
      UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9) tens
CROSS JOIN (SELECT 0 AS digit UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4
      UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9) hundreds;

-- One row, to write to: what was committed before is on disk once that is.
CREATE TABLE fantascope_sync (
    id    BIGINT NOT NULL PRIMARY KEY,
    syncs BIGINT NOT NULL
) ENGINE = InnoDB;

INSERT INTO fantascope_sync (id, syncs) VALUES (0, 0);

CREATE TABLE events (
    position          BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
    event_id          BINARY(16)   NOT NULL UNIQUE,
    event_type        VARCHAR(255) NOT NULL CHECK (event_type <> ''),
    event_version     BIGINT       NOT NULL DEFAULT 1 CHECK (event_version BETWEEN 1 AND 4294967295),
    aggregate_type    VARCHAR(255) NOT NULL CHECK (aggregate_type <> ''),
    aggregate_id      VARCHAR(255) NOT NULL CHECK (aggregate_id <> ''),
    aggregate_version BIGINT       NOT NULL CHECK (aggregate_version >= 1),
    -- In UTC.
    event_timestamp   DATETIME(6)  NOT NULL,
    user_id           VARCHAR(255) CHECK (user_id <> ''),
    correlation_id    VARCHAR(255) CHECK (correlation_id <> ''),
    causation_id      VARCHAR(255) CHECK (causation_id <> ''),
    -- JSON objects, byte for byte as they were appended, which the type JSON of MySQL does
    -- not keep. NULL stands for {}.
    metadata          LONGTEXT     CHECK ({is_object:metadata}),
    event_data        LONGTEXT     NOT NULL CHECK ({is_object:event_data}),
    UNIQUE KEY events_by_aggregate (aggregate_type, aggregate_id, aggregate_version),
    KEY events_by_type (event_type, event_timestamp),
    KEY events_by_correlation (correlation_id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE {exact};

-- The first row of a statement comes here before a position is drawn for it.
CREATE TRIGGER fantascope_gate BEFORE INSERT ON events FOR EACH ROW
BEGIN
    DECLARE wanted BIGINT DEFAULT FLOOR(UNIX_TIMESTAMP(SYSDATE(6)) * 200) % 1000;
    DECLARE taken BIGINT DEFAULT NULL;
    IF NEW.position <> 0 AND COALESCE(@fantascope_keep_positions, 0) <> 1 THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'fantascope: positions are drawn, none may be given';
    END IF;
    SELECT slot INTO taken FROM fantascope_gates WHERE slot = wanted LOCK IN SHARE MODE;
    IF taken IS NULL THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'fantascope: a row of fantascope_gates is missing';
    END IF;
END;

CREATE TRIGGER fantascope_positive AFTER INSERT ON events FOR EACH ROW
BEGIN
    IF NEW.position < 1 THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'fantascope: a position must be 1 or more';
    END IF;
END;

CREATE TRIGGER fantascope_never_updated BEFORE UPDATE ON events FOR EACH ROW
    SIGNAL SQLSTATE '45000'
    SET MESSAGE_TEXT = 'events are immutable: append a compensating event instead of an UPDATE';

CREATE TRIGGER fantascope_never_deleted BEFORE DELETE ON events FOR EACH ROW
    SIGNAL SQLSTATE '45000'
    SET MESSAGE_TEXT = 'events are immutable: append a compensating event instead of a DELETE';
