-- Bulk changes: a wish or a command for all devices that a filter finds, paced by a workflow (workflows/bulk-change.ts).

create table bulk_changes (
  id           uuid primary key,
  number       bigint generated always as identity,
  tenant       text not null references tenants,
  filter       text not null,
  change       text not null,                   -- JSON: {"wish": {…}} or {"command": {"name", "input"}}, and its deadline or timeout
  pace         text not null,                   -- JSON (twin-models/core/pacing.ts, Pace)
  requested_by text not null,
  created_at   timestamptz not null default now(),
  status       text not null default 'running', -- running, paused, halted, cancelled, completed, failed
  reason       text,                            -- why it halted or failed
  asked        text,                            -- what REST was asked last (pause, resume, cancel), until its workflow is told
  workflow     text,                            -- id of the workflow that works on it; null: none was started yet
  selected_at  timestamptz,                     -- its targets are known
  ended_at     timestamptz
);
create index bulk_changes_tenant on bulk_changes (tenant, number desc);
create index bulk_changes_untold on bulk_changes (number) where ended_at is null and (workflow is null or asked is not null);

create table bulk_targets (
  bulk        uuid not null references bulk_changes on delete cascade,
  number      integer not null,
  incarnation integer not null,
  device      text not null,
  request     uuid not null default gen_random_uuid(), -- of its request to the twin, and of its command: nobody is asked twice
  status      text not null default 'waiting',  -- waiting, started, succeeded, failed, skipped
  reason      text,
  started_at  timestamptz,
  ended_at    timestamptz,
  primary key (bulk, number)
);
create index bulk_targets_status on bulk_targets (bulk, status, number);
