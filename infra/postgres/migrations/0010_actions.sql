-- What rules do when their alarms are raised or cleared, besides telling people: one row an action of an alarm.

create table rule_actions (
  id           uuid primary key,               -- made of (incarnation, n, turn, place): what is written twice is the same
  number       bigint generated always as identity, -- rises in the order of the outbox
  tenant       text not null,
  incarnation  integer not null,               -- with device: the alarm's
  device       text not null,
  n            integer not null,               -- which alarm of the device
  rule         text not null,
  rule_version integer not null,
  turn         text not null,                  -- of the alarm: raised, cleared
  place        smallint not null,              -- in the list of the rule's actions, from 0
  kind         text not null,                  -- event, command, wish, ticket, predict
  name         text,                           -- of the command, the event or the model that predicts
  alarm        text not null,                  -- JSON: {severity, text, values} of that turn
  at           timestamptz not null,           -- when the twin decided that turn
  depth        smallint not null,              -- devices before this one whose rules set it off
  state        text not null default 'waiting', -- waiting, done, failed, cut
  due          timestamptz not null default now(), -- of the next attempt, while waiting
  attempts     integer not null default 0,     -- that failed, and may be repeated
  target       integer,                        -- incarnation of the device that it acted on
  result       text,                           -- id of the command, the request, the ticket or the prediction
  cut_by       text,                           -- maintenance, loop, chain, crowd
  error        text,                           -- why it failed, was cut, or waits
  ended_at     timestamptz
);
-- To work off: fair over tenants, and in order of each line, the actions of one rule on one device.
create index rule_actions_waiting on rule_actions (tenant, number) where state = 'waiting';
create index rule_actions_line on rule_actions (incarnation, rule, number) where state = 'waiting';
-- To find loops and chains.
create index rule_actions_recent on rule_actions (incarnation, rule, at) where kind in ('command', 'wish');
create index rule_actions_target on rule_actions (target, ended_at) where target is not null;
create index rule_actions_alarm on rule_actions (incarnation, n);
create index rule_actions_tenant on rule_actions (tenant, number);
create index rule_actions_rule on rule_actions (tenant, rule, number);
create index rule_actions_device on rule_actions (tenant, device, number);
create index rule_actions_state on rule_actions (tenant, state, number);
create index rule_actions_ended on rule_actions (ended_at) where ended_at is not null;

-- Every event of the outbox up to it has become actions, where it has any.
create table rule_action_cursor (
  one      boolean primary key default true check (one),
  position bigint not null default 0
);
insert into rule_action_cursor select true, position from outbox_end;
