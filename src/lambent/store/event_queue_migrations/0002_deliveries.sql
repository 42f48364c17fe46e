-- The service, as ARNs name it, that an event which has ended waits for; NULL: it waits to be run. And what the function
-- answered at its last run.
ALTER TABLE event ADD COLUMN service TEXT;
ALTER TABLE event ADD COLUMN response BLOB;

DROP INDEX event_due;
CREATE INDEX event_due ON event (lane, service, due_ms, accepted_ms);
