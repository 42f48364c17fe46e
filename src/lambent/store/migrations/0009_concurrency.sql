-- Reserved concurrency, by function. It goes with its function.
CREATE TABLE reserved_concurrency (
    account  TEXT    NOT NULL,
    region   TEXT    NOT NULL,
    name     TEXT    NOT NULL, -- the function's
    reserved INTEGER NOT NULL CHECK (reserved >= 0),
    PRIMARY KEY (account, region, name),
    FOREIGN KEY (account, region, name) REFERENCES function ON DELETE CASCADE
) STRICT;
