-- Webhooks (docs/webhooks.md): endpoints, what each event is for, and how deliveries fare.

create table webhooks (
  id          uuid primary key,
  number      integer generated always as identity unique, -- short: it stands with every event that the endpoint wants
  tenant      text not null references tenants,
  url         text not null,
  types       text not null,                   -- JSON list, or ["*"]
  filter      text,
  form        text not null,                   -- standard, cloudevents
  headers     text not null,                   -- JSON: name → value
  auth        text,                            -- JSON: {"bearer"} or {"basic": {"user", "password"}}
  ordered     boolean not null,
  per_second  float8 not null,
  at_once     integer not null,
  description text not null,
  secrets     text not null,                   -- JSON: the newest first: [{"secret", "until"?}]
  status      text not null default 'active',  -- active, paused, disabled
  reason      text,                            -- why it is disabled
  created_at  timestamptz not null default now(),
  changed_at  timestamptz not null default now(),
  position    bigint not null,                 -- every event up to it is settled, or stands in webhook_deliveries
  missed      bigint not null default 0,       -- events that were no longer kept when their turn came
  health      text not null default '{"failures":0,"failingSince":null,"openedAt":null,"probeAt":null,"probes":0}',
                                                   -- JSON: its breaker (twin-models/core/delivery.ts)
  troubled_at timestamptz,                     -- since when its workflow has something to do
  looks_at    timestamptz,                     -- when its workflow looks next; null: none works
  nudged_at   timestamptz                      -- its workflow is to look at once: asked for then; null: it was told
);
create index webhooks_tenant on webhooks (tenant, number);
create index webhooks_nudge on webhooks (number) where troubled_at is not null;

-- For whom each event is, as far as it is for anybody. One row an event, however many endpoints there are.
create table webhook_events (
  position  bigint not null,
  at        timestamptz not null,
  endpoints integer[] not null,
  primary key (position, at)
) partition by range (at);
create table webhook_fan_out (
  one      boolean primary key default true check (one),
  position bigint not null default 0
);
insert into webhook_fan_out select true, position from outbox_end;

-- What was attempted, and what waits for its next attempt. Those that have ended are kept for a while, to be looked at and sent again.
create table webhook_deliveries (
  webhook     integer not null references webhooks (number) on delete cascade,
  position    bigint not null,
  at          timestamptz not null,            -- of the event
  incarnation integer not null,
  device      text not null,                   -- empty: of none
  type        text not null,
  status      text not null,                   -- delivered, retrying, behind (another of its device), failed, skipped
  attempts    integer not null default 0,
  next_at     timestamptz,                     -- of the next attempt, while retrying
  ended_at    timestamptz,
  log         text not null default '[]',      -- JSON: the attempts, the newest last: [{"at", "ms", "status"?, "answer"?, "error"?}]
  primary key (webhook, position)
);
create index webhook_deliveries_due on webhook_deliveries (webhook, next_at) where status = 'retrying';
create index webhook_deliveries_device on webhook_deliveries (webhook, incarnation, position) where status in ('retrying', 'behind');
create index webhook_deliveries_ended on webhook_deliveries (webhook, ended_at) where ended_at is not null;
create index webhook_deliveries_status on webhook_deliveries (webhook, status, position);
