-- name: drop_empty_lanes
DELETE FROM lane WHERE NOT EXISTS (SELECT 1 FROM event WHERE event.lane = lane.id);

-- name: last_id
SELECT coalesce(max(id), 0) FROM event;

-- name: lanes
SELECT id, account, region, name FROM lane;

-- name: insert_lane
INSERT INTO lane (id, account, region, name) VALUES (?, ?, ?, ?);

-- name: update
UPDATE event SET due_ms = ?, state = ? WHERE id = ?;

-- name: remove
DELETE FROM event WHERE id IN (SELECT value FROM json_each(?));

-- name: due
SELECT event.id, due_ms FROM event JOIN lane ON lane.id = event.lane
WHERE account = :account AND region = :region AND name = :name
ORDER BY due_ms, accepted_ms, event.id LIMIT :limit;

-- name: get
SELECT state, payload FROM event WHERE id = ?;

-- name: totals
SELECT account, region, name, count(*), min(due_ms), min(accepted_ms)
FROM event JOIN lane ON lane.id = event.lane GROUP BY lane;
