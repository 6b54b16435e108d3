-- Rules (docs/rules.md): what readings mean, as data. Which alarms they have raised is for later migrations.

create table rules (
  tenant     text not null references tenants,
  name       text not null,
  version    integer not null,                  -- the newest
  status     text not null,                     -- of this version: draft or live
  model      text,                              -- null: of any model, as the filter says
  filter     text,
  body       text not null,                     -- JSON, as written (twin-models/schemas/rule.ts)
  created_at timestamptz not null default now(),
  created_by text not null,
  changed_at timestamptz not null default now(),
  primary key (tenant, name)
);
create index rules_live on rules (tenant, model) where status = 'live';

-- Never changed and never removed, also of rules that are gone: alarms name the version that raised them.
create table rule_versions (
  tenant     text not null references tenants,
  name       text not null,
  version    integer not null,
  body       text not null,
  created_at timestamptz not null default now(),
  created_by text not null,
  primary key (tenant, name, version)
);

-- The newest change of live rules that concerns devices of a model; '': of any model. Changes are numbered in the order in which they are
-- committed, so whoever has seen one has seen all before it.
create sequence rule_changes as bigint;
create table rule_scopes (
  tenant text not null references tenants,
  model  text not null,
  change bigint not null,
  primary key (tenant, model)
);
create index rule_scopes_change on rule_scopes (change);

alter table twin_inbox
  add column rules    bigint not null default 0,  -- the newest change of rules that its twin was told of
  add column features text,                       -- functions of readings that its rules compare (core/inbox-features.ts)
  add column due_at   bigint;                     -- epoch ms: when time alone makes something of its rules

-- Devices whose model or attributes changed: which rules are for them is looked at anew. Each change has a number of its own, so that one that
-- comes while another is looked at is not lost.
create table rule_devices (
  incarnation integer primary key,
  number      bigint not null generated always as identity
);
