-- name: insert
INSERT INTO role (account, name, path, record) VALUES (:account, :name, :path, :record) ON CONFLICT DO NOTHING;

-- name: get
SELECT record FROM role WHERE account = :account AND name = :name COLLATE BINARY;

-- name: replace
UPDATE role SET record = :record WHERE account = :account AND name = :name;

-- name: delete
DELETE FROM role WHERE account = :account AND name = :name;

-- name: count
SELECT count(*) FROM role WHERE account = :account;

-- name: list
SELECT record FROM role
WHERE account = :account AND name > :after_name AND substr(path, 1, length(:path_prefix)) = :path_prefix
ORDER BY name LIMIT :limit;
