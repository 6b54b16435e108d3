-- Notifications (docs/notifications.md): where people and systems are told of alarms and tickets, and what they are told.

create table targets (
  number     integer generated always as identity primary key, -- short: it stands with every notice
  tenant     text not null references tenants,
  name       text not null,
  kind       text not null,                    -- webhook, email
  settings   text not null,                    -- JSON (twin-models/schemas/target.ts)
  auth       text,                             -- JSON: {"bearer"} or {"basic": {"user", "password"}}
  secrets    text not null default '[]',       -- JSON, of a webhook: the newest first: [{"secret", "until"?}]
  health     text not null default '{"failures":0,"failingSince":null,"openedAt":null,"probeAt":null,"probes":0}',
                                               -- JSON: its breaker (twin-models/core/delivery.ts)
  recent     text not null default '[]',       -- JSON: when the requests of the last minute began, epoch ms
  created_at timestamptz not null default now(),
  changed_at timestamptz not null default now(),
  unique (tenant, name)
);

-- What is to be told, or was: one row an alarm, target and step. A ticket's goes by itself.
create table notices (
  id          bigint generated always as identity primary key,
  tenant      text not null,
  target      text not null,                   -- its name
  endpoint    integer,                         -- its number; null: there was none of that name
  kind        text not null,                   -- alarm, ticket
  key         text not null,                   -- of what it is about: the same from the first word to the last
  step        text not null,                   -- which of those with this key
  incarnation integer,                         -- with n: the alarm
  n           integer,
  device      text not null,                   -- empty: of none
  rule        text,                            -- null: it goes by itself
  site        text,
  status      text not null,                   -- firing, resolved
  state       text not null,                   -- waiting, held, sent, failed, cancelled
  reason      text,                            -- why it is held, was cancelled or has failed
  severity    text not null,
  subject     text not null,
  words       text not null,
  facts       text not null,                   -- JSON: name → text
  links       text not null default '[]',      -- JSON: [{"title", "url"}]
  since       timestamptz not null,            -- of what it is about
  over_at     timestamptz,                     -- resolved: since then
  group_key   text not null,                   -- what it goes out with (twin-models/core/bundles.ts)
  owed        boolean not null default false,  -- resolved: it was shown before, and its receiver waits for its end
  due_at      timestamptz not null,
  ready_at    timestamptz,                     -- when it is looked at; null: it is bundled, held with its alarm, or has ended
  held_at     timestamptz,                     -- since when its alarm holds it
  bundle      uuid,
  shown       boolean not null default false,  -- in full, and not only counted
  created_at  timestamptz not null default now(),
  ended_at    timestamptz,
  unique (tenant, key, target, step)
);
create index notices_ready on notices (endpoint, ready_at) where ready_at is not null;
create index notices_bundle on notices (bundle) where bundle is not null;
create index notices_alarm on notices (incarnation, n) where incarnation is not null;
create index notices_tenant on notices (tenant, id);
create index notices_target on notices (tenant, target, id);
create index notices_open on notices (tenant, endpoint, id) where ended_at is null;
create index notices_failed on notices (tenant, id) where state = 'failed';
create index notices_ended on notices (ended_at) where ended_at is not null;
create index notices_past on notices (endpoint, ended_at) where ended_at is not null;

-- Notices that go out in one message, and how that fares.
create table notice_bundles (
  id        uuid primary key,
  target    integer not null references targets on delete cascade,
  group_key text not null,
  state     text not null default 'open',      -- open, sent, failed, cancelled
  made_at   timestamptz not null,
  attempts  integer not null default 0,
  next_at   timestamptz,                       -- of the next attempt, while open
  claimed_at timestamptz,                      -- it is under way since then; when nobody says what came of it, next_at counts
  ended_at  timestamptz,
  log       text not null default '[]'         -- JSON: the attempts, the newest last: [{"at", "ms", "status"?, "answer"?, "error"?}]
);
create index notice_bundles_open on notice_bundles (target, next_at) where state = 'open';
create index notice_bundles_ended on notice_bundles (ended_at) where ended_at is not null;
-- When each group went out last.
create table notice_groups (
  target  integer not null references targets on delete cascade,
  key     text not null,
  last_at timestamptz not null,
  primary key (target, key)
);
create index notice_groups_age on notice_groups (last_at);

-- Alarms that somebody is told of, as far as their events were read.
create table told_alarms (
  incarnation integer not null,
  n           integer not null,
  alarm       text not null,                   -- JSON (twin-models/core/notices.ts)
  ended_at    timestamptz,
  primary key (incarnation, n)
);
create index told_alarms_ended on told_alarms (ended_at) where ended_at is not null;

-- Every event of the outbox up to it was read, and its notices are written.
create table notice_cursor (
  one      boolean primary key default true check (one),
  position bigint not null default 0
);
insert into notice_cursor select true, position from outbox_end;
