-- Predictions (docs/prediction.md): models that are served elsewhere, and what they were asked and answered.

create table prediction_models (
  tenant     text not null references tenants,
  name       text not null,
  body       text not null,                     -- JSON (twin-models/schemas/prediction-model.ts), without the credential
  auth       text,                              -- JSON: {"bearer"}; never shown again
  at_once    integer not null,                  -- predictions under way; of the body
  every_ms   bigint,                            -- of its schedule; null: it has none
  next_at    timestamptz,                       -- when its next round begins; one that is due is under way
  after      text,                              -- the device up to which the round under way has asked; null: none is
  created_at timestamptz not null default now(),
  created_by text not null,
  changed_at timestamptz not null default now(),
  primary key (tenant, name)
);
create index prediction_models_due on prediction_models (next_at) where next_at is not null;

create table predictions (
  id             uuid primary key,
  number         bigint generated always as identity,
  tenant         text not null references tenants,
  incarnation    integer not null,
  device         text not null,
  model          text not null,                 -- name of the prediction model, which may be gone
  requested_kind text not null,                 -- rule, ticket, schedule, person
  requested_by   text not null,
  readings_since timestamptz,                   -- older ones are left aside, as those of before a repair; null: none are
  asked_at       timestamptz not null default date_trunc('milliseconds', now()),
  status         text not null default 'waiting', -- waiting, answered, failed
  workflow       text,                          -- id of the workflow that asks; null: none was started yet
  answered_at    timestamptz,                   -- or when it failed
  features       text,                          -- JSON: what the model was asked with, by name and in order
  probability    float8,
  threshold      float8,                        -- from which on the risk is high, as it stood then
  horizon_ms     bigint,
  explanation    text,
  model_version  text,                          -- as the server says
  latency_ms     integer,
  error          text,
  outcome        text,                          -- failure, no-failure: what became of the device, as somebody said later
  outcome_at     timestamptz,
  outcome_by     text,
  outcome_note   text
);
-- What waits is at most a thousand a tenant: every look at it costs the same.
create index predictions_waiting on predictions (tenant, model, number) where status = 'waiting';
create index predictions_waiting_device on predictions (incarnation, model) where status = 'waiting';
create index predictions_tenant on predictions (tenant, asked_at desc, number desc);
create index predictions_device on predictions (tenant, device, asked_at desc, number desc);
create index predictions_model on predictions (tenant, model, asked_at desc, number desc);
create index predictions_outcome on predictions (tenant, outcome, asked_at desc, number desc) where outcome is not null;
create index predictions_age on predictions (asked_at);
