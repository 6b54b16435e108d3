-- Firmware (docs/rollouts.md): artifacts and who signed them, updates of devices, rollouts, and groups.

-- Public keys that a tenant trusts to sign releases. The private ones never come here.
create table release_keys (
  tenant     text not null references tenants,
  id         text not null,                     -- first 32 hex digits of the SHA-256 of the key's SPKI
  name       text not null,
  public_key text not null,                     -- PEM
  created_at timestamptz not null default now(),
  revoked_at timestamptz,                       -- what it signed is no longer rolled out or downloaded
  primary key (tenant, id)
);

-- The platform's own keys, which sign the job of each device. The newest signs; devices may know older ones.
create table director_keys (
  id          text primary key,
  public_key  text not null,                    -- PEM
  private_key text not null,                    -- PEM
  created_at  timestamptz not null default now()
);

create table firmware (
  id          uuid primary key,
  number      bigint generated always as identity unique,
  tenant      text not null references tenants,
  name        text not null,                    -- the line of releases that it belongs to
  model       text not null,
  version     text not null,
  counter     bigint not null,                  -- of the release: never goes down on a device, but by a rollback
  size        bigint not null,
  sha256      text not null,
  manifest    text not null,                    -- RFC 8785 canonical JSON, verbatim (twin-models/firmware/manifest.ts)
  envelope    text,                             -- DSSE JSON with the signature; null: nobody has signed it
  key         text,                             -- id of the key that signed it
  expires_at  timestamptz,                      -- of the manifest; null: never
  notes       text not null,
  created_at  timestamptz not null default now(),
  created_by  text not null,
  withdrawn_at timestamptz,                     -- somebody took it back: no longer rolled out or downloaded
  unique (tenant, name, version)
);
create index firmware_content on firmware (sha256);
create index firmware_tenant on firmware (tenant, number desc);

-- Groups: filters with a name. Devices of a group with a pin get this version of the firmware of their model and no other.
create table groups (
  tenant       text not null references tenants,
  name         text not null,
  filter       text not null,
  firmware_pin text,                            -- a version
  created_at   timestamptz not null default now(),
  changed_at   timestamptz not null default now(),
  primary key (tenant, name)
);

-- Updates. A rollout or REST writes the row together with the request to the twin; scheduled, soaking and the end are decisions, with what
-- comes with them (attempt, job, link, until); sent_at and sends are the bridge's; the statuses between are the device's, by the processor.
create table updates (
  id           uuid primary key,
  number       bigint generated always as identity,
  tenant       text not null,
  incarnation  integer not null,
  device       text not null,
  rollout      uuid,
  firmware     uuid not null references firmware,
  kind         text not null,                   -- install, rollback
  requested_by text not null,
  created_at   timestamptz not null default now(),
  from_version text,
  from_sha256  text,
  status       text not null default 'scheduled', -- scheduled, notified, downloading, verifying, installing, rebooting, soaking, and the ends
  progress     text,                            -- JSON, as the device says it
  attempt      integer not null default 0,
  job          text,                            -- DSSE JSON, signed for this device and attempt; null: it is not to be told (any more)
  link         text,                            -- secret part of the download link of this attempt
  until        timestamptz,                     -- the device may be told until then
  link_until   timestamptz,
  told_at      timestamptz,                     -- first, of this attempt: from then on its device has time to install
  sent_at      timestamptz,                     -- last, of this attempt
  sends        integer not null default 0,      -- of this attempt
  answered_at  timestamptz,                     -- the device's first word on this attempt
  status_at    timestamptz not null default now(),
  ended_at     timestamptz,
  code         text,                            -- of the end, or of the attempt that failed last
  message      text,
  cancel_at    timestamptz,                     -- it ended while the device was on it: the device is to be told
  cancel_sent_at timestamptz
);
-- Open, or its device is to hear that it is not: one look for both.
create index updates_open on updates (incarnation, number) where ended_at is null or (cancel_at is not null and cancel_sent_at is null);
create index updates_tenant on updates (tenant, number desc);
create index updates_device on updates (incarnation, number desc);
create index updates_rollout on updates (rollout, number) where rollout is not null;
create index updates_ended on updates (ended_at) where ended_at is not null;

-- Rollouts: an update for all devices that a filter finds, in waves, by a workflow (workflows/rollout.ts).
create table rollouts (
  id           uuid primary key,
  number       bigint generated always as identity unique,
  tenant       text not null references tenants,
  name         text not null,
  firmware     uuid not null references firmware,
  spec         text not null,                   -- JSON (twin-models/schemas/rollout.ts)
  requested_by text not null,
  created_at   timestamptz not null default now(),
  approved_by  text,
  started_at   timestamptz,                     -- approved, and its devices chosen
  ended_at     timestamptz,
  status       text not null default 'draft',   -- draft, running, paused, halted, rolling-back, completed, cancelled
  reason       text,                            -- why it is halted, or how it ended
  wave         integer not null default 0,      -- the current one, from 0
  back         boolean not null default false,  -- its devices go back; `wave` is one of the rollback then
  step         integer not null default 0,      -- the newest of its workflow's steps that was done: none is done twice
  state        text,                            -- JSON: what its workflow carried then (twin-models/core/rollout-types.ts)
  heard        text,                            -- JSON list: ids of what it was asked last, with the answers
  asked        text,                            -- JSON list: what REST was asked, each with an id, until its workflow is told
  workflow     text                             -- id of the workflow that works on it; null: none was started yet
);
create index rollouts_tenant on rollouts (tenant, number desc);
create index rollouts_untold on rollouts (number) where asked is not null or (ended_at is null and workflow is null);

-- Its devices. `back`: of its rollback, which has waves of its own. Those that were left out when it chose stand in wave -1.
create table rollout_targets (
  rollout     uuid not null references rollouts on delete cascade,
  back        boolean not null default false,
  number      integer not null,                 -- the order in which they are asked
  wave        integer not null,
  incarnation integer not null,
  device      text not null,
  firmware    uuid,                             -- what it is to get
  from_version text,
  "update"    uuid not null default gen_random_uuid(), -- of its update, and of its request to the twin
  status      text not null default 'waiting',  -- waiting, underway, and how its update ended
  reason      text,
  not_before  timestamptz,                      -- its device was busy with another update: not asked again before
  busy        smallint not null default 0,      -- how often it was
  started_at  timestamptz,
  ended_at    timestamptz,
  primary key (rollout, back, number)
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05);
create index rollout_targets_status on rollout_targets (rollout, back, status, wave, number) include (reason);
create index rollout_targets_later on rollout_targets (rollout, back, wave) where not_before is not null;
create unique index rollout_targets_device on rollout_targets (rollout, back, incarnation);
create index rollout_targets_update on rollout_targets ("update");

-- How many targets stand how, kept by the triggers below: a look costs the same however many there are, and whoever changes targets, the sums
-- are theirs. `reason` only where it says how a target counts (timed-out), else ''.
create table rollout_counts (
  rollout uuid not null references rollouts on delete cascade,
  back    boolean not null,
  wave    integer not null,
  status  text not null,
  reason  text not null,
  devices integer not null,
  primary key (rollout, back, wave, status, reason)
) with (fillfactor = 50);

create function count_rollout_targets() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' then
    insert into rollout_counts
    select rollout, back, wave, status, case when status = 'timed-out' then coalesce(reason, '') else '' end, -count(*)
    from changed_from group by 1, 2, 3, 4, 5
    on conflict (rollout, back, wave, status, reason) do update set devices = rollout_counts.devices + excluded.devices;
  end if;
  insert into rollout_counts
  select rollout, back, wave, status, case when status = 'timed-out' then coalesce(reason, '') else '' end, count(*)
  from changed_to group by 1, 2, 3, 4, 5
  on conflict (rollout, back, wave, status, reason) do update set devices = rollout_counts.devices + excluded.devices;
  return null;
end $$;
create trigger rollout_targets_added after insert on rollout_targets referencing new table as changed_to
  for each statement execute function count_rollout_targets();
create trigger rollout_targets_changed after update on rollout_targets referencing old table as changed_from new table as changed_to
  for each statement execute function count_rollout_targets();
