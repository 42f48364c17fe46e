-- name: drop_empty_lanes
DELETE FROM lane WHERE NOT EXISTS (SELECT 1 FROM event WHERE event.lane = lane.id);

-- name: unused_bytes
SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size;

-- name: last_id
SELECT coalesce(max(id), 0) FROM event;

-- name: lanes
SELECT id, account, region, name FROM lane;

-- name: insert_lane
INSERT INTO lane (id, account, region, name) VALUES (?, ?, ?, ?);

-- name: take_jobs
-- What one statement is to do: each row that is inserted here is a job. The content is the payload of what is put, and
-- the answer that a change comes with.
CREATE TEMP VIEW job (kind, id, lane, due_ms, accepted_ms, service, state, content) AS
    SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE FALSE;

CREATE TEMP TRIGGER put INSTEAD OF INSERT ON job WHEN new.kind = 'put' BEGIN
    INSERT INTO event (id, lane, due_ms, accepted_ms, state, payload)
        VALUES (new.id, new.lane, new.due_ms, new.accepted_ms, new.state, new.content);
END;

CREATE TEMP TRIGGER change INSTEAD OF INSERT ON job WHEN new.kind = 'change' BEGIN
    UPDATE event SET due_ms = new.due_ms, service = new.service, state = new.state,
        response = coalesce(new.content, response)
        WHERE id = new.id;
END;

CREATE TEMP TRIGGER remove INSTEAD OF INSERT ON job WHEN new.kind = 'remove' BEGIN
    DELETE FROM event WHERE id = new.id;
END;

-- name: due
-- One row, whatever it is of: the interpreter is let go, and waited for again, once for each. The last of the events is
-- the one that goes beyond the bytes.
-- Nothing is looked at but the lengths until it is known which they are: what is sorted is kept beside the tables.
WITH first AS (
    SELECT event.id, due_ms, accepted_ms, length(payload) AS bytes FROM event
    WHERE lane = (SELECT id FROM lane WHERE account = :account AND region = :region AND name = :name)
        AND service IS :service
        AND event.id NOT IN (SELECT value FROM json_each(:besides))
    ORDER BY due_ms, accepted_ms, event.id LIMIT :limit + 1
), counted AS (
    SELECT *, row_number() OVER following AS number, sum(bytes) OVER following - bytes AS bytes_before
    FROM first WINDOW following AS (ORDER BY due_ms, accepted_ms, id)
), judged AS (
    SELECT *, due_ms <= :now_ms AND number <= :limit AND bytes_before <= :bytes AS is_taken FROM counted
)
SELECT
    group_concat(
        (SELECT id || ' ' || hex(state) || ' ' || hex(payload) FROM event WHERE event.id = judged.id), ','
    ) FILTER (WHERE is_taken),
    min(due_ms) FILTER (WHERE NOT is_taken)
FROM judged;

-- name: ended
SELECT id, state, payload, response FROM event
WHERE lane = (SELECT id FROM lane WHERE account = :account AND region = :region AND name = :name)
    AND service IS :service
    AND due_ms <= :now_ms
    AND id NOT IN (SELECT value FROM json_each(:besides))
ORDER BY due_ms, accepted_ms, id LIMIT 1;

-- name: next_ended
SELECT due_ms FROM event
WHERE lane = (SELECT id FROM lane WHERE account = :account AND region = :region AND name = :name)
    AND service IS :service
    AND id NOT IN (SELECT value FROM json_each(:besides))
ORDER BY due_ms LIMIT 1;

-- name: totals
SELECT account, region, name, service, count, first_due_ms, oldest_accepted_ms
FROM (
    SELECT lane, service, count(*) AS count, min(due_ms) AS first_due_ms, min(accepted_ms) AS oldest_accepted_ms
    FROM event GROUP BY lane, service
) AS total JOIN lane ON lane.id = total.lane;
