-- Aliases, each of a function; records are JSON of lambent.core.alias.Alias. A version can not go while an alias names it.
CREATE TABLE alias (
    account           TEXT    NOT NULL,
    region            TEXT    NOT NULL,
    name              TEXT    NOT NULL, -- the function's
    alias             TEXT    NOT NULL,
    number            INTEGER NOT NULL,
    additional_number INTEGER,          -- the second version of a weighted alias
    record            BLOB    NOT NULL,
    PRIMARY KEY (account, region, name, alias),
    FOREIGN KEY (account, region, name) REFERENCES function ON DELETE CASCADE,
    FOREIGN KEY (account, region, name, number) REFERENCES function_version,
    FOREIGN KEY (account, region, name, additional_number) REFERENCES function_version
) STRICT;

CREATE INDEX alias_number ON alias (account, region, name, number);
CREATE INDEX alias_additional_number ON alias (account, region, name, additional_number);
