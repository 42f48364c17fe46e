-- name: under_another_key
SELECT rowid FROM function_version
WHERE substr(variables, 1, length(:prefix)) <> :prefix
   OR substr(serving_variables, 1, length(:prefix)) <> :prefix;

-- name: plaintext_left
SELECT 1 FROM wiping_owed WHERE what = 'plaintext';

-- name: in_the_clear
SELECT rowid FROM function_version
WHERE json_extract(CAST(record AS TEXT), '$.configuration.variables') IS NOT NULL
   OR (serving IS NOT NULL AND json_extract(CAST(serving AS TEXT), '$.configuration.variables') IS NOT NULL);

-- name: one_record
SELECT record, variables, serving, serving_variables FROM function_version WHERE rowid = ?;

-- name: replace_record
UPDATE function_version
SET record = :record, variables = :variables, serving = :serving, serving_variables = :serving_variables
WHERE rowid = :row;

-- name: owe_wiping
INSERT INTO wiping_owed (what) VALUES ('old key') ON CONFLICT DO NOTHING;

-- name: wiping_owed
SELECT 1 FROM wiping_owed LIMIT 1;

-- name: wiped
DELETE FROM wiping_owed;
