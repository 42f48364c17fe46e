-- Reserved concurrency, by function. It goes with its function.
CREATE TABLE reserved_concurrency (
    account  TEXT    NOT NULL,
    region   TEXT    NOT NULL,
    name     TEXT    NOT NULL, -- the function's
    reserved INTEGER NOT NULL CHECK (reserved >= 0),
    PRIMARY KEY (account, region, name),
    FOREIGN KEY (account, region, name) REFERENCES function ON DELETE CASCADE
) STRICT;

-- Provisioned concurrency, for each qualifier of a function that has any. It goes with the version or the alias that
-- its qualifier names.
CREATE TABLE provisioned_concurrency (
    account          TEXT    NOT NULL,
    region           TEXT    NOT NULL,
    name             TEXT    NOT NULL, -- the function's
    qualifier        TEXT    NOT NULL,
    number           INTEGER,          -- of these two the one that the qualifier is
    alias            TEXT,
    count            INTEGER NOT NULL CHECK (count > 0),
    last_modified_ms INTEGER NOT NULL,
    PRIMARY KEY (account, region, name, qualifier),
    FOREIGN KEY (account, region, name, number) REFERENCES function_version ON DELETE CASCADE,
    FOREIGN KEY (account, region, name, alias) REFERENCES alias ON DELETE CASCADE,
    CHECK ((number IS NULL) <> (alias IS NULL))
) STRICT;

CREATE INDEX provisioned_concurrency_number ON provisioned_concurrency (account, region, name, number);
CREATE INDEX provisioned_concurrency_alias ON provisioned_concurrency (account, region, name, alias);
