-- name: everything
SELECT account, region, name, qualifier, count, last_modified_ms FROM provisioned_concurrency
ORDER BY account, region, name, qualifier;

-- name: get
SELECT account, region, name, qualifier, count, last_modified_ms FROM provisioned_concurrency
WHERE account = :account AND region = :region AND name = :name AND qualifier = :qualifier;

-- name: put
INSERT INTO provisioned_concurrency (account, region, name, qualifier, number, alias, count, last_modified_ms)
VALUES (:account, :region, :name, :qualifier, :number, :alias, :count, :last_modified_ms)
ON CONFLICT (account, region, name, qualifier)
DO UPDATE SET count = excluded.count, last_modified_ms = excluded.last_modified_ms;

-- name: delete
DELETE FROM provisioned_concurrency
WHERE account = :account AND region = :region AND name = :name AND qualifier = :qualifier;

-- name: list
SELECT account, region, name, qualifier, count, last_modified_ms FROM provisioned_concurrency
WHERE account = :account AND region = :region AND name = :name AND qualifier > :after_qualifier
ORDER BY qualifier LIMIT :limit;

-- name: total
SELECT coalesce(sum(count), 0) FROM provisioned_concurrency
WHERE account = :account AND region = :region AND name = :name;

-- name: alias_of_version
SELECT p.qualifier FROM provisioned_concurrency AS p JOIN alias AS a USING (account, region, name, alias)
WHERE account = :account AND region = :region AND name = :name AND p.qualifier <> :qualifier
    AND (a.number = :number OR a.additional_number = :number)
ORDER BY p.qualifier LIMIT 1;
