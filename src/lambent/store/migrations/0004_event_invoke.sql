-- How asynchronous invocations are treated, for each qualifier of a function; records are JSON of
-- lambent.core.event_invoke.EventInvokeConfig. One goes with the version or the alias that its qualifier names.
CREATE TABLE event_invoke_config (
    account   TEXT NOT NULL,
    region    TEXT NOT NULL,
    name      TEXT NOT NULL, -- the function's
    qualifier TEXT NOT NULL,
    number    INTEGER,       -- of these two the one that the qualifier is
    alias     TEXT,
    record    BLOB NOT NULL,
    PRIMARY KEY (account, region, name, qualifier),
    FOREIGN KEY (account, region, name, number) REFERENCES function_version ON DELETE CASCADE,
    FOREIGN KEY (account, region, name, alias) REFERENCES alias ON DELETE CASCADE,
    CHECK ((number IS NULL) <> (alias IS NULL))
) STRICT;

CREATE INDEX event_invoke_config_number ON event_invoke_config (account, region, name, number);
CREATE INDEX event_invoke_config_alias ON event_invoke_config (account, region, name, alias);
