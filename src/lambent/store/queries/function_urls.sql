-- name: get
SELECT record FROM function_url
WHERE account = :account AND region = :region AND name = :name AND qualifier = :qualifier;

-- name: insert
INSERT INTO function_url (account, region, name, qualifier, alias, url_id, record)
VALUES (:account, :region, :name, :qualifier, :alias, :url_id, :record)
ON CONFLICT (account, region, name, qualifier) DO NOTHING;

-- name: replace
UPDATE function_url SET record = :record
WHERE account = :account AND region = :region AND name = :name AND qualifier = :qualifier;

-- name: delete
DELETE FROM function_url
WHERE account = :account AND region = :region AND name = :name AND qualifier = :qualifier;

-- name: list
SELECT record FROM function_url
WHERE account = :account AND region = :region AND name = :name AND qualifier > :after_qualifier
ORDER BY qualifier LIMIT :limit;

-- name: list_first
SELECT record FROM function_url
WHERE account = :account AND region = :region AND name = :name
ORDER BY qualifier LIMIT :limit;
