-- IAM roles, of an account and of no region. Names differ in more than case; records are JSON of lambent.store.roles.Role.
CREATE TABLE role (
    account TEXT NOT NULL,
    name    TEXT NOT NULL COLLATE NOCASE,
    path    TEXT NOT NULL,
    record  BLOB NOT NULL,
    PRIMARY KEY (account, name)
) STRICT;
