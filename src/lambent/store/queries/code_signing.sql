-- name: insert
INSERT INTO code_signing_config (account, region, config_id, record) VALUES (:account, :region, :config_id, :record);

-- name: get
SELECT record FROM code_signing_config WHERE account = :account AND region = :region AND config_id = :config_id;

-- name: replace
UPDATE code_signing_config SET record = :record
WHERE account = :account AND region = :region AND config_id = :config_id;

-- name: delete
DELETE FROM code_signing_config WHERE account = :account AND region = :region AND config_id = :config_id;

-- name: list
SELECT record FROM code_signing_config
WHERE account = :account AND region = :region AND config_id > :after_id
ORDER BY config_id LIMIT :limit;

-- name: attach
INSERT INTO function_code_signing (account, region, name, config_id) VALUES (:account, :region, :name, :config_id)
ON CONFLICT DO UPDATE SET config_id = excluded.config_id;

-- name: detach
DELETE FROM function_code_signing WHERE account = :account AND region = :region AND name = :name;

-- name: attached
SELECT record FROM function_code_signing JOIN code_signing_config USING (account, region, config_id)
WHERE account = :account AND region = :region AND name = :name;

-- name: list_functions
SELECT name FROM function_code_signing
WHERE account = :account AND region = :region AND config_id = :config_id AND name > :after_name
ORDER BY name LIMIT :limit;
