-- name: allocate_version
INSERT INTO layer (account, region, name, last_version) VALUES (:account, :region, :name, 1)
ON CONFLICT DO UPDATE SET last_version = last_version + 1
RETURNING last_version;

-- name: insert_version
INSERT INTO layer_version (account, region, name, number, digest, runtimes, architectures, record)
VALUES (:account, :region, :name, :number, :digest, :runtimes, :architectures, :record);

-- name: get_version
SELECT record, policy FROM layer_version
WHERE account = :account AND region = :region AND name = :name AND number = :number;

-- name: set_policy
UPDATE layer_version SET policy = :policy
WHERE account = :account AND region = :region AND name = :name AND number = :number;

-- name: delete_version
DELETE FROM layer_version
WHERE account = :account AND region = :region AND name = :name AND number = :number;

-- name: list_versions
SELECT record FROM layer_version
WHERE account = :account AND region = :region AND name = :name AND number < :before_number
    AND (:runtime IS NULL OR EXISTS (SELECT 1 FROM json_each(runtimes) WHERE value = :runtime))
    AND (:architecture IS NULL OR EXISTS (SELECT 1 FROM json_each(architectures) WHERE value = :architecture))
ORDER BY number DESC LIMIT :limit;

-- name: list_newest
SELECT record, max(number) FROM layer_version
WHERE account = :account AND region = :region AND name > :after_name
    AND (:runtime IS NULL OR EXISTS (SELECT 1 FROM json_each(runtimes) WHERE value = :runtime))
    AND (:architecture IS NULL OR EXISTS (SELECT 1 FROM json_each(architectures) WHERE value = :architecture))
GROUP BY name ORDER BY name LIMIT :limit;
