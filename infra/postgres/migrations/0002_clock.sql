-- What is known of the device's clock, as JSON: {"status", "driftMs"?} (api/ingest/clock.ts). Null: it never told a time of its own.
-- It is written only when it changes by much, so the statement that every message costs does not know of it.
alter table twin_inbox add column clock text;
