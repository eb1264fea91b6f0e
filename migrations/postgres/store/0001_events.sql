-- The event store. Positions order all events. Many append at once, so the order of
-- positions is not the order of commits: the gate below tells readers how far they may go.
CREATE TABLE events (
    -- The sequence must give positions one by one (CACHE 1): the gate depends on it.
    position          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id          uuid        NOT NULL UNIQUE,
    event_type        text        COLLATE "C" NOT NULL CHECK (event_type <> ''),
    event_version     bigint      NOT NULL DEFAULT 1 CHECK (event_version BETWEEN 1 AND 4294967295),
    aggregate_type    text        COLLATE "C" NOT NULL CHECK (aggregate_type <> ''),
    aggregate_id      text        COLLATE "C" NOT NULL CHECK (aggregate_id <> ''),
    aggregate_version bigint      NOT NULL CHECK (aggregate_version >= 1),
    event_timestamp   timestamptz NOT NULL CHECK (isfinite(event_timestamp)),
    user_id           text        COLLATE "C" CHECK (user_id <> ''),
    correlation_id    text        COLLATE "C" CHECK (correlation_id <> ''),
    causation_id      text        COLLATE "C" CHECK (causation_id <> ''),
    -- JSON objects, byte for byte as they were appended. NULL stands for {}.
    metadata          json        CHECK (json_typeof(metadata) = 'object'),
    event_data        json        NOT NULL CHECK (json_typeof(event_data) = 'object'),
    UNIQUE (aggregate_type, aggregate_id, aggregate_version)
);

CREATE INDEX events_by_type ON events (event_type, event_timestamp);
CREATE INDEX events_by_correlation ON events (correlation_id) WHERE correlation_id IS NOT NULL;

-- The gate. Before a position is drawn, the transaction takes a lock that bears the last
-- position drawn so far. It is shared, so nobody waits. Locks are given back after a commit
-- can be seen: what was drawn up to the least of those that are held is there for every
-- statement that begins now.
--
-- A second insert of the same transaction takes the same lock again, which takes no room.
-- What the setting says is not trusted: the lock never bears more than was drawn.
--
-- A transaction that does not wait for the disk can be seen before it is there, and a server
-- that is killed then gives its positions out again. So one that appends waits.
--
-- Names are qualified, for the function runs with the rights of its owner, in the session
-- of anybody who may insert.
CREATE FUNCTION fantascope_gate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    mine pg_catalog.text := pg_catalog.current_setting('fantascope.gate_{tag}', true);
    drawn bigint := COALESCE(pg_catalog.pg_sequence_last_value('{schema}.events_position_seq'::pg_catalog.regclass), 0);
BEGIN
    IF mine OPERATOR(pg_catalog.<>) '' THEN
        PERFORM pg_catalog.pg_advisory_xact_lock_shared(
            pg_catalog.int8or({base}, GREATEST(0, LEAST(drawn, mine::bigint))));
    ELSE
        PERFORM pg_catalog.pg_advisory_xact_lock_shared(pg_catalog.int8or({base}, drawn));
        PERFORM pg_catalog.set_config('fantascope.gate_{tag}', drawn::pg_catalog.text, true);
        IF pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.=) 'off' THEN
            PERFORM pg_catalog.set_config('synchronous_commit', 'local', true);
        END IF;
        -- A notification makes commits wait for each other, so one transaction at a time
        -- gives one: readers look again soon while others are in flight.
        IF pg_catalog.current_setting('max_prepared_transactions') OPERATOR(pg_catalog.=) '0'
            AND pg_catalog.pg_try_advisory_xact_lock(64087, {tag}) THEN
            PERFORM pg_catalog.pg_notify('fantascope_events', '');
        END IF;
    END IF;
    RETURN NULL;
END $$;

-- For each statement: a trigger for each row would come after the first position was drawn.
CREATE TRIGGER fantascope_gate BEFORE INSERT ON events
    FOR EACH STATEMENT EXECUTE FUNCTION fantascope_gate();
ALTER TABLE events ENABLE ALWAYS TRIGGER fantascope_gate;

CREATE FUNCTION fantascope_immutable() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'events are immutable: append a compensating event instead of % on %', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER fantascope_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION fantascope_immutable();
ALTER TABLE events ENABLE ALWAYS TRIGGER fantascope_immutable;

-- Up to where a statement that begins after this one may read, and how many appenders are in
-- flight. First the last position drawn, then the locks: that order is the proof. And no
-- further than the last event there is: positions that were drawn and not used, or not by
-- now, are given out again by a server that was killed before they were written.
CREATE FUNCTION fantascope_tail(OUT safe bigint, OUT drawn bigint, OUT appenders bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
BEGIN
    drawn := coalesce(pg_sequence_last_value('{schema}.events_position_seq'::regclass), 0);
    SELECT least(drawn, min((k.classid::bigint & 65535) << 32 | k.objid::bigint)), count(*) INTO safe, appenders
    FROM pg_lock_status() k
    WHERE k.locktype = 'advisory' AND k.objsubid = 1
        AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND k.classid::bigint >> 16 = {tag};
    SELECT coalesce(max(e.position), 0) INTO safe FROM {schema}.events e WHERE e.position <= safe;
END $$;

-- The transactions that have appended and not ended, the oldest first. What other users'
-- sessions do is shown to members of pg_read_all_stats.
CREATE FUNCTION fantascope_holders()
RETURNS TABLE (held_at bigint, pid int, prepared text, usename text, application_name text, client_addr inet,
               state text, xact_start timestamptz)
LANGUAGE sql VOLATILE SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
    SELECT (k.classid::bigint & 65535) << 32 | k.objid::bigint, k.pid, p.gid,
        coalesce(a.usename, p.owner)::text, a.application_name, a.client_addr,
        coalesce(a.state, CASE WHEN p.gid IS NOT NULL THEN 'prepared' END), coalesce(a.xact_start, p.prepared)
    FROM pg_locks k
    LEFT JOIN pg_stat_activity a ON a.pid = k.pid
    LEFT JOIN pg_locks x
        ON k.pid IS NULL AND x.locktype = 'transactionid' AND x.virtualtransaction = k.virtualtransaction
    LEFT JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
    WHERE k.locktype = 'advisory' AND k.objsubid = 1
        AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND k.classid::bigint >> 16 = {tag}
    ORDER BY 1
$$;

REVOKE ALL ON FUNCTION fantascope_gate(), fantascope_immutable(), fantascope_tail(), fantascope_holders() FROM PUBLIC;
