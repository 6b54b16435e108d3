-- Alarms (docs/alarms.md). One row an alarm, as it stands; what happened to it stands in twin_history. Only the decision write makes and changes
-- rows, but for those of a device that is removed: they are cleared with its inbox.
create table alarms (
  incarnation       integer not null,
  n                 integer not null,           -- which alarm of the device
  number            bigint generated always as identity,
  tenant            text not null,
  device            text not null,
  rule              text not null,
  rule_version      integer not null,
  severity          text not null,              -- warning, minor, major, critical
  status            text not null,              -- raised, acknowledged, cleared
  text              text not null,
  since             timestamptz not null,       -- its condition holds
  raised_at         timestamptz not null,       -- it had held for long enough
  updated_at        timestamptz not null,
  count             integer not null,
  flapping          boolean not null,
  muted             boolean not null,           -- raised in maintenance: nobody is told
  acknowledged_at   timestamptz,
  acknowledged_by   text,
  acknowledged_note text,
  shelved_until     timestamptz,
  assignee          text,
  cleared_at        timestamptz,
  clear_reason      text,                       -- rule, person, removed, changed
  cleared_by        text,
  clear_note        text,
  "values"          text not null,              -- JSON: what the rule read, by the name of the reading
  revision          integer not null,           -- the decision that wrote it last
  first_written_at  timestamptz not null default now(), -- when it was decided first, as the history has it
  last_written_at   timestamptz not null default now(), -- and last
  primary key (incarnation, n)
);
create index alarms_tenant on alarms (tenant, raised_at desc, number desc);
create index alarms_open on alarms (tenant, raised_at desc, number desc) where cleared_at is null;
create index alarms_rule on alarms (tenant, rule, raised_at desc, number desc);
create index alarms_device on alarms (incarnation, raised_at desc, number desc);
create index alarms_assignee on alarms (tenant, assignee, raised_at desc, number desc) where assignee is not null;
create index alarms_cleared on alarms (cleared_at) where cleared_at is not null;
