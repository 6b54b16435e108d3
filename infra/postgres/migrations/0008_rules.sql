-- Rules: what the actions of alarms need of them.
create table rules (
  tenant     text not null references tenants,
  name       text not null,
  version    integer not null,
  status     text not null,
  model      text,
  filter     text,
  body       text not null,                    -- JSON
  created_at timestamptz not null default now(),
  created_by text not null,
  changed_at timestamptz not null default now(),
  primary key (tenant, name)
);
create table rule_versions (
  tenant     text not null references tenants,
  name       text not null,
  version    integer not null,
  body       text not null,                    -- JSON
  created_at timestamptz not null default now(),
  created_by text not null,
  primary key (tenant, name, version)
);
