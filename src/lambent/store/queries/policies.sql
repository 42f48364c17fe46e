-- name: get
SELECT record FROM function_policy
WHERE account = :account AND region = :region AND name = :name AND qualifier = :qualifier;

-- name: put
INSERT INTO function_policy (account, region, name, qualifier, number, alias, record)
VALUES (:account, :region, :name, :qualifier, :number, :alias, :record)
ON CONFLICT DO UPDATE SET record = excluded.record;

-- name: delete
DELETE FROM function_policy
WHERE account = :account AND region = :region AND name = :name AND qualifier = :qualifier;
