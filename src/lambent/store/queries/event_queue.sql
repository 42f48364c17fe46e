-- name: drop_empty_lanes
DELETE FROM lane WHERE NOT EXISTS (SELECT 1 FROM event WHERE event.lane = lane.id);

-- name: last_id
SELECT coalesce(max(id), 0) FROM event;

-- name: lanes
SELECT id, account, region, name FROM lane;

-- name: insert_lane
INSERT INTO lane (id, account, region, name) VALUES (?, ?, ?, ?);

-- name: update
UPDATE event SET due_ms = ?, service = ?, state = ?, response = coalesce(?, response) WHERE id = ?;

-- name: remove
DELETE FROM event WHERE id IN (SELECT value FROM json_each(?));

-- name: due
-- One row, whatever it is of: the interpreter is let go, and waited for again, once for each. The last of the events is
-- the one that goes beyond the bytes.
WITH first AS (
    SELECT event.id, due_ms, accepted_ms, state, payload FROM event
    WHERE lane = (SELECT id FROM lane WHERE account = :account AND region = :region AND name = :name)
        AND service IS :service
        AND event.id NOT IN (SELECT value FROM json_each(:besides))
    ORDER BY due_ms, accepted_ms, event.id LIMIT :limit + 1
), counted AS (
    SELECT *, row_number() OVER following AS number,
        sum(length(payload)) OVER following - length(payload) AS bytes_before
    FROM first WINDOW following AS (ORDER BY due_ms, accepted_ms, id)
), judged AS (
    SELECT *, due_ms <= :now_ms AND number <= :limit AND bytes_before <= :bytes AS is_taken FROM counted
)
SELECT group_concat(id || ' ' || hex(state) || ' ' || hex(payload), ',') FILTER (WHERE is_taken),
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
