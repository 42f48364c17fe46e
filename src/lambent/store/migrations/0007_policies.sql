-- Resource policies of functions, for each way to name one: without a qualifier (here the empty text), by a version, by
-- an alias. Records are JSON of lambent.core.policy.Policy. A policy goes with what it is for.
CREATE TABLE function_policy (
    account   TEXT NOT NULL,
    region    TEXT NOT NULL,
    name      TEXT NOT NULL, -- the function's
    qualifier TEXT NOT NULL,
    number    INTEGER,       -- of these two the one that the qualifier is
    alias     TEXT,
    record    BLOB NOT NULL,
    PRIMARY KEY (account, region, name, qualifier),
    FOREIGN KEY (account, region, name) REFERENCES function ON DELETE CASCADE,
    FOREIGN KEY (account, region, name, number) REFERENCES function_version ON DELETE CASCADE,
    FOREIGN KEY (account, region, name, alias) REFERENCES alias ON DELETE CASCADE,
    CHECK ((number IS NOT NULL) + (alias IS NOT NULL) = (qualifier <> ''))
) STRICT;

CREATE INDEX function_policy_number ON function_policy (account, region, name, number);
CREATE INDEX function_policy_alias ON function_policy (account, region, name, alias);
