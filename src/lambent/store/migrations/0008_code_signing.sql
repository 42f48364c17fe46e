-- Code signing configurations, and the one that a function has. Records are JSON of
-- lambent.core.code_signing.CodeSigningConfig. A configuration can not go while a function has it.
CREATE TABLE code_signing_config (
    account   TEXT NOT NULL,
    region    TEXT NOT NULL,
    config_id TEXT NOT NULL,
    record    BLOB NOT NULL,
    PRIMARY KEY (account, region, config_id)
) STRICT;

CREATE TABLE function_code_signing (
    account   TEXT NOT NULL,
    region    TEXT NOT NULL,
    name      TEXT NOT NULL, -- the function's
    config_id TEXT NOT NULL,
    PRIMARY KEY (account, region, name),
    FOREIGN KEY (account, region, name) REFERENCES function ON DELETE CASCADE,
    FOREIGN KEY (account, region, config_id) REFERENCES code_signing_config
) STRICT;

CREATE INDEX function_code_signing_config ON function_code_signing (account, region, config_id, name);
