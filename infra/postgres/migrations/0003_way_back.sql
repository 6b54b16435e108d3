-- The way back (docs/architecture.md §2, §7): wishes, commands, and the outbox that live streams and webhooks read.

-- What of its desired state a device has still to be told: one row a device that was ever wished something. The decision write sets
-- version, body, answered and retry_ms (and clears the rest when the version changes); sent_version, sent_at and attempts are the bridge's.
create table wishes (
  incarnation  integer primary key,
  version      integer not null,
  body         text,                            -- {"version": 3, "state": {…}} as it is sent; null: nothing is outstanding
  answered     boolean not null default false,  -- the device answered this version: it is sent again only when it connects or asks
  retry_ms     integer not null,                -- first wait before it is sent again; doubled each time
  sent_version integer,                         -- the newest version that was handed to a connection
  sent_at      timestamptz,
  attempts     integer not null default 0       -- of this version
);

-- Commands. REST writes the row together with the request to the twin; released_at and the end are decisions; sent and attempts are the
-- bridge's, acknowledged and progress the processor's.
create table commands (
  id              uuid primary key,
  number          bigint generated always as identity, -- the order of requests
  tenant          text not null,
  incarnation     integer not null,
  device          text not null,
  name            text not null,
  input           text,                         -- JSON, null: none
  requested_by    text not null,
  repeatable      boolean not null,             -- false: sent at most once
  retry_ms        integer not null,             -- first wait before it is sent again; doubled each time
  max_attempts    integer not null,
  created_at      timestamptz not null default now(),
  expires_at      timestamptz not null,
  status          text not null default 'queued', -- queued, sent, acknowledged, running, succeeded, failed, expired, cancelled
  released_at     timestamptz,                  -- the twin lets it go
  sent_at         timestamptz,                  -- last
  attempts        integer not null default 0,
  acknowledged_at timestamptz,
  progress        text,                         -- JSON, as the device says it
  ended_at        timestamptz,
  output          text,                         -- JSON
  code            text,
  message         text,
  cancel_at       timestamptz,                  -- it ended while the device was on it: the device is to be told
  cancel_sent_at  timestamptz,
  late            text                          -- JSON list of answers that came after the end
);
create index commands_open on commands (incarnation, number) where ended_at is null;
create index commands_cancel on commands (incarnation) where cancel_at is not null and cancel_sent_at is null;
create index commands_tenant on commands (tenant, created_at desc, number desc);
create index commands_status on commands (tenant, status, created_at desc, number desc);
create index commands_device on commands (incarnation, created_at desc, number desc);
create index commands_ended on commands (ended_at) where ended_at is not null;

-- The outbox: what was decided or noticed, written in the transaction in which it becomes true. One sequencer, under an advisory lock,
-- gives committed rows their position; readers go by that number, and miss nothing.
create table outbox (
  id          bigint generated always as identity,
  position    bigint,
  at          timestamptz not null,
  tenant      text not null,
  incarnation integer not null,
  device      text not null,
  revision    integer,
  kind        text not null,                    -- of the event (twin-models/core/types.ts, TwinEvent)
  event       text not null,                    -- JSON, without kind and cause
  cause       text not null,                    -- JSON
  primary key (id, at)
) partition by range (at);
create index outbox_unnumbered on outbox (id) where position is null;
create index outbox_position on outbox (position) where position is not null;
create table outbox_end (
  one      boolean primary key default true check (one),
  position bigint not null default 0
);
insert into outbox_end default values;
