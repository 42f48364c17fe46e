-- The functions that have had events queued.
CREATE TABLE lane (
    id      INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    region  TEXT NOT NULL,
    name    TEXT NOT NULL,
    UNIQUE (account, region, name)
) STRICT;

-- The events that were accepted and are not over. States are MessagePack of lambent.core.event_invoke.QueuedEvent,
-- without the payload.
CREATE TABLE event (
    id          INTEGER PRIMARY KEY,
    lane        INTEGER NOT NULL REFERENCES lane,
    due_ms      INTEGER NOT NULL, -- wall clock
    accepted_ms INTEGER NOT NULL, -- wall clock
    state       BLOB NOT NULL,
    payload     BLOB NOT NULL
) STRICT;

-- All that is asked without an event's content: what is due, how many there are, how old the oldest is.
CREATE INDEX event_due ON event (lane, due_ms, accepted_ms);
