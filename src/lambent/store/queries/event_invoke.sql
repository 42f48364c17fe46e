-- name: all_configs
SELECT record FROM event_invoke_config ORDER BY account, region, name, qualifier;

-- name: get
SELECT record FROM event_invoke_config
WHERE account = :account AND region = :region AND name = :name AND qualifier = :qualifier;

-- name: put
INSERT INTO event_invoke_config (account, region, name, qualifier, number, alias, record)
VALUES (:account, :region, :name, :qualifier, :number, :alias, :record)
ON CONFLICT (account, region, name, qualifier) DO UPDATE SET record = excluded.record;

-- name: delete
DELETE FROM event_invoke_config
WHERE account = :account AND region = :region AND name = :name AND qualifier = :qualifier;

-- name: list
SELECT record FROM event_invoke_config
WHERE account = :account AND region = :region AND name = :name AND qualifier > :after_qualifier
ORDER BY qualifier LIMIT :limit;
