-- The first schema. Read docs/architecture.md first: the words used here are its words.
-- Times that SQL compares are timestamptz; times inside JSON texts are epoch milliseconds.

create table tenants (
  tenant     text primary key,
  created_at timestamptz not null default now()
);

create table api_keys (
  key_hash   bytea primary key,           -- SHA-256 of the key; the key itself is never stored
  tenant     text not null references tenants,
  name       text not null,
  created_at timestamptz not null default now()
);

-- The registry, and the decided part of each twin. Only the decision write changes revision, decided_seq, state, decided, decided_at.
create table devices (
  incarnation   integer generated always as identity primary key,
  tenant        text not null references tenants,
  device        text not null,
  model         text not null,
  model_version text not null,
  attributes    jsonb not null default '{}',
  token_hash    bytea not null,            -- SHA-256 of the device's token
  token_changed_at timestamptz,            -- when a new token replaced an older one: bridges end connections authenticated before
  created_at    timestamptz not null default now(),
  changed_at    timestamptz not null default now(),
  revision      integer not null default 0, -- counts decisions
  decided_seq   bigint not null default 0,  -- the newest seal that a decision consumed
  state         text,                       -- the twin's carried state at this revision (JSON)
  decided       jsonb not null default '{"presence": {"status": "never"}}', -- the decided part of the twin document
  decided_at    timestamptz,
  telemetry     jsonb not null default '{}', -- copy of the latest values for search; may lag the inbox by seconds
  unique (tenant, device)
) with (fillfactor = 70);
create unique index devices_token on devices (token_hash);
-- fastupdate would let searches read a list of unsorted entries, which grows to megabytes while devices are registered.
create index devices_attributes on devices using gin (attributes jsonb_path_ops) with (fastupdate = off);
create index devices_token_changed on devices (token_changed_at) where token_changed_at is not null;

-- What was answered to a request with an Idempotency-Key, for 24 hours. No token stands here: it is derived from the client's own key
-- and the salt, so that only who knows the key gets it again.
create table idempotency_keys (
  tenant       text not null,
  key_hash     bytea not null,              -- SHA-256 of the key
  request_hash bytea not null,              -- SHA-256 of the request: another one under the same key is refused
  salt         bytea not null,
  response     text not null,               -- JSON, without the token
  created_at   timestamptz not null default now(),
  primary key (tenant, key_hash)
);
create index idempotency_keys_age on idempotency_keys (created_at);

-- Registrations that ended. The lane's owner ends their workflows, the bridges their connections.
create table removed_devices (
  incarnation integer primary key,
  tenant      text not null,
  device      text not null,
  lane        smallint not null,
  removed_at  timestamptz not null default now(),
  ended_at    timestamptz                   -- the workflow was told
);
create index removed_devices_waiting on removed_devices (lane) where ended_at is null;
create index removed_devices_recent on removed_devices (removed_at);

-- Connection numbers: a higher one is a later connection, on whatever bridge.
create sequence connections as bigint;

-- One run of one bridge as a writer of the ingest log. Appending and closing lock this row, so a closed stream gets no more entries.
create table streams (
  stream    integer generated always as identity primary key,
  bridge    text not null,
  opened_at timestamptz not null default now(),
  beat_at   timestamptz not null default now(),
  closed_at timestamptz
);

-- The ingest log. One row holds the messages of one lane in one group commit; lane -1 is the bridge's heartbeat, read by every lane.
-- heads: JSON array of message heads, in order (api/ingest/log.ts); body: their payloads, one after the other.
create table ingest_log (
  stream integer not null,
  seq    bigint not null,
  lane   smallint not null,
  at     timestamptz not null,
  heads  text not null,
  body   bytea not null,
  primary key (stream, seq, at)
) partition by range (at);
alter table ingest_log alter column body set storage external;

create table processors (
  processor text primary key,
  beat_at   timestamptz not null default now()
);

create table lanes (
  lane        smallint primary key,
  owner       text,
  epoch       bigint not null default 0,
  lease_until timestamptz not null default '-infinity',
  cursors     text not null default '{}',   -- JSON: stream → last processed seq
  watermark   timestamptz,                  -- everything accepted before this is processed
  grace_since timestamptz                   -- since when silence is counted anew after an outage of ours
);
insert into lanes (lane) select generate_series(0, 15);

-- One row a device. Only the owner of its lane writes it (docs/decisions/0002).
create table twin_inbox (
  incarnation   integer primary key,
  lane          smallint not null,
  last_seen     bigint not null default 0,   -- epoch ms of the last receipt
  connection    text,                        -- JSON [number, stream] of the live MQTT connection, or null
  latest        text not null default '{}',  -- JSON: property → [value, ts, receivedAt, messageId?]
  pending       text,                        -- what waits, merged (core/inbox.ts)
  pending_since bigint,                      -- epoch ms
  urgent        boolean not null default false, -- pending met a wake condition
  sealed        text,                        -- the batch under way to the twin: immutable until answered
  sealed_seq    bigint not null default 0,   -- number of the newest seal
  sealed_at     bigint,
  wake          text                         -- the twin's wake conditions (JSON), null before its first decision
) with (fillfactor = 45, toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0.05);
alter table twin_inbox alter column latest set storage main, alter column pending set storage main, alter column sealed set storage main;
create index twin_inbox_lane on twin_inbox (lane);

-- What the decision write tells the lane's owner: this seal is answered, these are the wake conditions now. The owner deletes what it took.
create table twin_answers (
  id          bigint generated always as identity primary key,
  lane        smallint not null,
  incarnation integer not null,
  seq         bigint not null,
  wake        text not null
);

-- Whoever wants something of a twin writes a row, and waits for its answer.
create table twin_requests (
  id          uuid primary key,
  tenant      text not null,
  incarnation integer not null,
  lane        smallint not null,
  kind        text not null,
  body        text not null default '{}',
  created_at  timestamptz not null default now(),
  seq         bigint,                        -- the seal that carries it; null: it waits
  answered_at timestamptz,
  answer      text
);
create index twin_requests_waiting on twin_requests (lane, created_at) where seq is null;
create index twin_requests_age on twin_requests (created_at);

-- What a decision was, in order. (incarnation, revision, n) is unique; at is there for the partitions.
create table twin_history (
  incarnation integer not null,
  revision    integer not null,
  n           smallint not null,
  at          timestamptz not null,
  kind        text not null,
  event       text not null,                 -- JSON: before, after
  cause       text not null,                 -- JSON: message, request or timer
  primary key (incarnation, revision, n, at)
) partition by range (at);

create table properties (
  property integer generated always as identity primary key,
  tenant   text not null,
  name     text not null,
  unique (tenant, name)
);

-- One row a value. Unique by (device, property, ts); of two readings the one with the greater (received_at, message_id) stays.
create table telemetry (
  incarnation integer not null,
  property    integer not null,
  ts          timestamptz not null,
  received_at timestamptz not null,
  number      double precision,
  other       text,                          -- JSON of a value that is no number
  message_id  text,
  primary key (incarnation, property, ts)
) partition by range (ts);

-- Message ids already processed, remembered for 7 days.
create table message_ids (
  incarnation integer not null,
  id          uuid not null,                 -- digest of the id (or of a device event's name, time and content)
  seen_at     timestamptz not null,
  primary key (incarnation, id, seen_at)
) partition by range (seen_at);

create table dead_letters (
  id          bigint generated always as identity,
  at          timestamptz not null,          -- receivedAt
  tenant      text not null,
  device      text not null,
  incarnation integer not null,
  topic       text not null,
  reason      text not null,
  path        text,                          -- JSON pointer into the payload, where known
  detail      text not null,
  message_id  text,
  size        integer not null,              -- of the whole payload in bytes
  raw         bytea not null,                -- the payload, at most its first 256 kB
  primary key (id, at)
) partition by range (at);
create index dead_letters_tenant on dead_letters (tenant, id desc);

-- Words for connected devices on their errors topic: at most once, taken by the bridge whose stream it is.
create table device_errors (
  id          bigint generated always as identity primary key,
  stream      integer not null,
  incarnation integer not null,
  body        text not null,
  at          timestamptz not null default now()
);
create index device_errors_stream on device_errors (stream);
