-- name: all_aliases
SELECT record FROM alias ORDER BY account, region, name, alias;

-- name: get
SELECT record FROM alias WHERE account = :account AND region = :region AND name = :name AND alias = :alias;

-- name: insert
INSERT INTO alias (account, region, name, alias, number, additional_number, record)
VALUES (:account, :region, :name, :alias, :number, :additional_number, :record)
ON CONFLICT DO NOTHING;

-- name: replace
UPDATE alias SET number = :number, additional_number = :additional_number, record = :record
WHERE account = :account AND region = :region AND name = :name AND alias = :alias;

-- name: delete
DELETE FROM alias WHERE account = :account AND region = :region AND name = :name AND alias = :alias;

-- name: list
SELECT record FROM alias
WHERE account = :account AND region = :region AND name = :name AND alias > :after_alias
ORDER BY alias LIMIT :limit;

-- name: list_running
SELECT record FROM alias
WHERE account = :account AND region = :region AND name = :name AND alias > :after_alias
    AND (number = :number OR additional_number = :number)
ORDER BY alias LIMIT :limit;

-- name: names_running
SELECT alias FROM alias
WHERE account = :account AND region = :region AND name = :name AND (number = :number OR additional_number = :number)
ORDER BY alias;
