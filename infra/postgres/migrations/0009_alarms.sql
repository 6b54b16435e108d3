-- Alarms: what their actions need of them.
create table alarms (
  incarnation  integer not null,
  n            integer not null,
  tenant       text not null,
  device       text not null,
  rule         text not null,
  rule_version integer not null,
  severity     text not null,
  status       text not null,                  -- raised, acknowledged, cleared
  text         text not null,
  since        timestamptz not null,
  raised_at    timestamptz not null,
  updated_at   timestamptz not null,
  count        integer not null,
  flapping     boolean not null,
  muted        boolean not null,
  cleared_at   timestamptz,
  "values"     text not null,                  -- JSON
  primary key (incarnation, n)
);
