-- name: all_versions
SELECT record, variables, serving, serving_variables FROM function_version ORDER BY account, region, name, number;

-- name: get_version
SELECT record, variables, serving, serving_variables, revision_id FROM function_version
WHERE account = :account AND region = :region AND name = :name AND number = :number;

-- name: insert_function
INSERT INTO function (account, region, name) VALUES (:account, :region, :name) ON CONFLICT DO NOTHING;

-- name: insert_version
INSERT INTO function_version
    (account, region, name, number, revision_id, unfinished, digest, layer_digests, record, variables)
VALUES (:account, :region, :name, :number, :revision_id, :unfinished, :digest, :layer_digests, :record, :variables);

-- name: replace_version
UPDATE function_version
SET revision_id = :revision_id, unfinished = :unfinished, digest = :digest, record = :record, variables = :variables,
    serving = :serving, serving_variables = :serving_variables, serving_digest = :serving_digest, layer_digests = :layer_digests
WHERE account = :account AND region = :region AND name = :name AND number = :number;

-- name: allocate_version
UPDATE function SET last_version = last_version + 1
WHERE account = :account AND region = :region AND name = :name
RETURNING last_version;

-- name: last_published
SELECT record, variables FROM function_version
WHERE account = :account AND region = :region AND name = :name AND number > 0
ORDER BY number DESC LIMIT 1;

-- name: delete_function
DELETE FROM function WHERE account = :account AND region = :region AND name = :name;

-- name: delete_version
DELETE FROM function_version
WHERE account = :account AND region = :region AND name = :name AND number = :number;

-- name: list_latest
SELECT record, variables FROM function_version
WHERE account = :account AND region = :region AND number = 0 AND name > :after_name
ORDER BY name LIMIT :limit;

-- name: list_everything
SELECT record, variables FROM function_version
WHERE account = :account AND region = :region AND (name, number) > (:after_name, :after_number)
ORDER BY name, number LIMIT :limit;

-- name: list_versions
SELECT record, variables FROM function_version
WHERE account = :account AND region = :region AND name = :name AND number > :after_number
ORDER BY number LIMIT :limit;

-- name: unfinished
SELECT account, region, name, number FROM function_version WHERE unfinished ORDER BY account, region, name, number;

-- name: digests_in_use
SELECT digest FROM function_version
UNION SELECT serving_digest FROM function_version WHERE serving_digest IS NOT NULL
UNION SELECT digest FROM layer_version;

-- name: layer_digests_in_use
SELECT DISTINCT layer_digests FROM function_version WHERE layer_digests <> '';
