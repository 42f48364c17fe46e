-- Function URLs; records are JSON of lambent.core.function_url.FunctionUrl. One goes with the function, or with the
-- alias, that it is for.
CREATE TABLE function_url (
    account   TEXT NOT NULL,
    region    TEXT NOT NULL,
    name      TEXT NOT NULL, -- the function's
    qualifier TEXT NOT NULL, -- the alias again, and nothing for `$LATEST`: a key's column can not be NULL
    alias     TEXT,
    url_id    TEXT NOT NULL UNIQUE,
    record    BLOB NOT NULL,
    PRIMARY KEY (account, region, name, qualifier),
    FOREIGN KEY (account, region, name) REFERENCES function ON DELETE CASCADE,
    FOREIGN KEY (account, region, name, alias) REFERENCES alias ON DELETE CASCADE
) STRICT;

CREATE INDEX function_url_alias ON function_url (account, region, name, alias);
