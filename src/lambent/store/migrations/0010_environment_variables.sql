-- Environment variables, out of the records and sealed (lambent.store.sealed_records); NULL where a function has none.
ALTER TABLE function_version ADD COLUMN variables BLOB;
ALTER TABLE function_version ADD COLUMN serving_variables BLOB;

-- Why pages and logs that are not in use any more are still to be wiped: 'plaintext' or 'old key'.
CREATE TABLE wiping_owed (what TEXT PRIMARY KEY) STRICT;

-- What is there was written with its variables in the clear. They are sealed when the store is opened.
INSERT INTO wiping_owed (what) SELECT 'plaintext' WHERE EXISTS (SELECT 1 FROM function_version);
