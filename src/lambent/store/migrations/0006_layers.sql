-- Layers. A layer's row stays when its last version is deleted: numbers are never used twice. Records are JSON of
-- lambent.core.layer.LayerVersion, policies JSON of lambent.core.policy.Policy.
CREATE TABLE layer (
    account      TEXT    NOT NULL,
    region       TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    last_version INTEGER NOT NULL,
    PRIMARY KEY (account, region, name)
) STRICT;

CREATE TABLE layer_version (
    account       TEXT    NOT NULL,
    region        TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    number        INTEGER NOT NULL,
    digest        TEXT    NOT NULL,
    runtimes      TEXT    NOT NULL, -- JSON lists of what it is said to be compatible with
    architectures TEXT    NOT NULL,
    record        BLOB    NOT NULL,
    policy        BLOB,
    PRIMARY KEY (account, region, name, number),
    FOREIGN KEY (account, region, name) REFERENCES layer
) STRICT;

-- What a version's layers need on disk, beside its own package: digests with spaces between them.
ALTER TABLE function_version ADD COLUMN layer_digests TEXT NOT NULL DEFAULT '';
CREATE INDEX function_version_layers ON function_version (layer_digests) WHERE layer_digests <> '';
