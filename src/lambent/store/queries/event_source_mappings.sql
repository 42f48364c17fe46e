-- name: insert
INSERT INTO event_source_mapping (account, region, uuid, source_arn, name, qualifier, unfinished, record)
VALUES (:account, :region, :uuid, :source_arn, :name, :qualifier, :unfinished, :record);

-- name: get
SELECT record FROM event_source_mapping WHERE account = :account AND region = :region AND uuid = :uuid;

-- name: replace
UPDATE event_source_mapping SET name = :name, qualifier = :qualifier, unfinished = :unfinished, record = :record
WHERE account = :account AND region = :region AND uuid = :uuid;

-- name: delete
DELETE FROM event_source_mapping WHERE account = :account AND region = :region AND uuid = :uuid;

-- name: unfinished
SELECT record FROM event_source_mapping WHERE unfinished;

-- name: of_function
SELECT record FROM event_source_mapping
WHERE account = :account AND region = :region AND name = :name AND qualifier = :qualifier
ORDER BY uuid;

-- name: of_poller_group
SELECT record FROM event_source_mapping
WHERE account = :account AND region = :region
    AND json_extract(CAST(record AS TEXT), '$.settings.ProvisionedPollerConfig.PollerGroupName') = :group;

-- name: list
SELECT record FROM event_source_mapping
WHERE account = :account AND region = :region AND uuid > :after_uuid
ORDER BY uuid LIMIT :limit;

-- name: list_of_source
SELECT record FROM event_source_mapping
WHERE account = :account AND region = :region AND source_arn = :source_arn AND uuid > :after_uuid
ORDER BY uuid LIMIT :limit;

-- name: list_of_function
SELECT record FROM event_source_mapping
WHERE account = :account AND region = :region AND name = :name AND qualifier = :qualifier AND uuid > :after_uuid
ORDER BY uuid LIMIT :limit;

-- name: list_of_both
SELECT record FROM event_source_mapping
WHERE account = :account AND region = :region AND name = :name AND qualifier = :qualifier
    AND source_arn = :source_arn AND uuid > :after_uuid
ORDER BY uuid LIMIT :limit;
