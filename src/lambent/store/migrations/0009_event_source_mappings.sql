-- Event source mappings. Records are JSON of lambent.core.event_source.EventSourceMapping. A mapping does not go with its
-- function: AWS keeps it until it is deleted itself, so there is no reference.
CREATE TABLE event_source_mapping (
    account    TEXT    NOT NULL,
    region     TEXT    NOT NULL,
    uuid       TEXT    NOT NULL,
    source_arn TEXT,             -- none for a cluster that is named by its servers
    name       TEXT    NOT NULL, -- the function's
    qualifier  TEXT    NOT NULL, -- the empty text is $LATEST
    unfinished INTEGER NOT NULL, -- 1 while the state is one that something must settle
    record     BLOB    NOT NULL,
    PRIMARY KEY (account, region, uuid)
) STRICT;

CREATE INDEX event_source_mapping_function ON event_source_mapping (account, region, name, qualifier, uuid);
CREATE INDEX event_source_mapping_source ON event_source_mapping (account, region, source_arn, uuid);
CREATE INDEX event_source_mapping_unfinished ON event_source_mapping (account, region, uuid) WHERE unfinished;
