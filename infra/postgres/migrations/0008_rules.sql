-- Rules (docs/rules.md): data that says when something is wrong, with every version that there was.

create table rules (
  tenant     text not null references tenants,
  name       text not null,
  version    integer not null,
  status     text not null,                     -- draft, live
  model      text,                              -- null: of any model that the filter finds
  filter     text,
  body       text not null,                     -- JSON, as written
  created_at timestamptz not null default now(),
  created_by text not null,
  changed_at timestamptz not null default now(),
  primary key (tenant, name)
);
-- An alarm names the version that raised it.
create table rule_versions (
  tenant     text not null,
  name       text not null,
  version    integer not null,
  body       text not null,
  created_at timestamptz not null default now(),
  created_by text not null,
  primary key (tenant, name, version)
);

-- How a change reaches running twins: it takes a number and leaves it with whom it may concern; the owners of the lanes compare it with the one
-- that each inbox stands at.
create sequence rule_changes;
create table rule_scopes (
  tenant text not null,
  model  text not null,                         -- empty: of any model
  change bigint not null,
  primary key (tenant, model)
);
-- Devices whose attributes changed: what is for them is looked at anew.
create table rule_devices (
  incarnation integer primary key
);
alter table twin_inbox
  add column rules bigint not null default 0,   -- the newest change that its rules were looked at after
  add column features text,                     -- JSON: the rules that it was told of, and what they compare (core/inbox-features.ts)
  add column due_at bigint;                     -- epoch ms: when time alone means something to its rules
