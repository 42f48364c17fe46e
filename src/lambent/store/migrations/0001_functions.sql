-- Functions and their versions. `$LATEST` is number 0; records are JSON of lambent.core.function.FunctionVersion.
CREATE TABLE function (
    account      TEXT    NOT NULL,
    region       TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    last_version INTEGER NOT NULL DEFAULT 0, -- the highest number given so far: numbers are never used twice
    PRIMARY KEY (account, region, name)
) STRICT;

CREATE TABLE function_version (
    account     TEXT    NOT NULL,
    region      TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    number      INTEGER NOT NULL,
    revision_id TEXT    NOT NULL,
    unfinished  INTEGER NOT NULL, -- 1 while work on it is to be done: Pending, or an update InProgress
    digest      TEXT    NOT NULL,
    record      BLOB    NOT NULL,
    serving_digest TEXT,          -- these two only while the last good record is not this one
    serving     BLOB,
    PRIMARY KEY (account, region, name, number),
    FOREIGN KEY (account, region, name) REFERENCES function ON DELETE CASCADE
) STRICT;

CREATE INDEX function_version_unfinished ON function_version (account, region, name, number) WHERE unfinished;
CREATE INDEX function_version_digest ON function_version (digest);
