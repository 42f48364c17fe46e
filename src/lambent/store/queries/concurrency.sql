-- name: all_reservations
SELECT account, region, name, reserved FROM reserved_concurrency ORDER BY account, region, name;

-- name: get
SELECT reserved FROM reserved_concurrency WHERE account = :account AND region = :region AND name = :name;

-- name: put
INSERT INTO reserved_concurrency (account, region, name, reserved) VALUES (:account, :region, :name, :reserved)
ON CONFLICT (account, region, name) DO UPDATE SET reserved = excluded.reserved;

-- name: delete
DELETE FROM reserved_concurrency WHERE account = :account AND region = :region AND name = :name;

-- name: claimed
SELECT
    (SELECT coalesce(sum(reserved), 0) FROM reserved_concurrency WHERE account = :account AND region = :region)
    + (
        SELECT coalesce(sum(count), 0) FROM provisioned_concurrency AS p
        WHERE account = :account AND region = :region AND NOT EXISTS (
            SELECT 1 FROM reserved_concurrency AS r
            WHERE (r.account, r.region, r.name) = (p.account, p.region, p.name)
        )
    );
