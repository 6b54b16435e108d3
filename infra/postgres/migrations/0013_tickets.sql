-- Maintenance tickets (docs/tickets.md): one repair each, by a workflow (workflows/ticket.ts).

create table tickets (
  id            uuid primary key,
  number        bigint generated always as identity unique,
  tenant        text not null references tenants,
  incarnation   integer not null,
  device        text not null,
  rule          text,                           -- null: none asked for it
  rule_version  integer,
  alarm         integer,                        -- n of the alarm that it was opened for: later ones of its rule are its, too
  text          text not null,
  plan          text not null,                  -- JSON (twin-models/core/ticket-types.ts, TicketPlan), without device, rule and createdAt
  opened_by     text not null,
  created_at    timestamptz not null default now(),
  changed_at    timestamptz not null default now(),
  ended_at      timestamptz,
  status        text not null default 'open',
  severity      text not null,
  assignee      text,
  step          integer not null default 0,     -- the newest of its workflow's steps that was done: none is done twice
  state         text,                           -- JSON: what its workflow carried then (TicketState)
  heard         text,                           -- JSON list: ids of what it was asked last, with the answers
  asked         text,                           -- JSON list: what it was asked, each with an id, until its workflow is told
  workflow      text,                           -- id of the workflow that works on it; null: none was started yet
  wakes_at      timestamptz,                    -- when its workflow goes on by itself
  seen          text,                           -- of its device and alarms, when its workflow looked last
  nudged        text,                           -- the same, when it was told to look last
  nudged_at     timestamptz,
  prediction    text,                           -- id of the one that was asked for last
  prediction_problem text,                      -- why it could not even be asked for
  external_system text,                         -- as another system knows it
  external_key  text,
  external_url  text,
  external_status text
);
create unique index tickets_open on tickets (incarnation, rule) where ended_at is null;
create index tickets_tenant on tickets (tenant, number desc);
create index tickets_tenant_open on tickets (tenant, number desc) where ended_at is null;
create index tickets_device on tickets (tenant, device, number desc);
create index tickets_assignee on tickets (tenant, assignee, number desc) where assignee is not null;
create index tickets_underway on tickets (number) where ended_at is null;
create index tickets_untold on tickets (number) where asked is not null or (ended_at is null and workflow is null);
create index tickets_ended on tickets (ended_at) where ended_at is not null;
create unique index tickets_external on tickets (tenant, external_system, external_key) where external_key is not null;

-- Which ticket an alarm was for: asked once more it opens no other, also after its ticket has ended.
create table ticket_alarms (
  incarnation integer not null,
  n           integer not null,
  ticket      uuid not null references tickets on delete cascade,
  primary key (incarnation, n)
);
create index ticket_alarms_ticket on ticket_alarms (ticket);

-- The story of each, in order.
create table ticket_events (
  ticket uuid not null references tickets on delete cascade,
  n      integer not null,
  at     timestamptz not null,
  what   text not null,
  by     text,
  via    text,                                  -- rest, ui, link, system
  text   text not null,
  primary key (ticket, n)
);

-- Links in messages, by which their receivers do something without a credential. Only hashes are kept.
create table ticket_links (
  token_hash bytea primary key,                 -- SHA-256
  ticket     uuid not null references tickets on delete cascade,
  target     text not null,                     -- who it was sent to: what is done by it is done by them
  created_at timestamptz not null default now(),
  expires_at timestamptz not null
);
create index ticket_links_ticket on ticket_links (ticket);
create index ticket_links_expiry on ticket_links (expires_at);

-- What other systems said, once each.
create table ticket_messages (
  tenant     text not null,
  system     text not null,
  message_id text not null,
  ticket     uuid not null references tickets on delete cascade,
  at         timestamptz not null default now(),
  answer     text not null,                     -- JSON: what was answered
  primary key (tenant, system, message_id)
);
create index ticket_messages_ticket on ticket_messages (ticket);
create index ticket_messages_age on ticket_messages (at);
