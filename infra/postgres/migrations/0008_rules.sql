-- Rules: data that says when something is wrong, with every version that there was.

create table rules (
  tenant     text not null references tenants,
  name       text not null,
  version    integer not null,
  status     text not null,                     -- draft, live
  model      text,
  filter     text,
  body       text not null,                     -- JSON, as written
  created_at timestamptz not null default now(),
  created_by text not null,
  changed_at timestamptz not null default now(),
  primary key (tenant, name)
);
create table rule_versions (
  tenant     text not null,
  name       text not null,
  version    integer not null,
  body       text not null,
  created_at timestamptz not null default now(),
  created_by text not null,
  primary key (tenant, name, version)
);
