-- The row of an inbox is written with every message of its device, so it holds only what changes with one. What the owner of the inbox goes by, and
-- what is long with many rules, stands beside it and is written when it changes (api/ingest/feature-texts.ts).
create table twin_wakes (
  incarnation    integer primary key,
  wake           text not null,  -- the twin's wake conditions (JSON)
  features       text,           -- JSON: rules that its twin was told of, and the functions of readings that they compare
  feature_states text            -- JSON: what is kept of those functions
) with (fillfactor = 60);
insert into twin_wakes (incarnation, wake) select incarnation, wake from twin_inbox where wake is not null;

-- What rules compare begins anew: they are looked at once more.
update twin_inbox set rules = 0 where features is not null;
alter table twin_inbox drop column wake, drop column features, add column feature_values text; -- JSON: what functions of readings are now
alter table twin_inbox alter column feature_values set storage main;
