-- The row of an inbox is written with every message of its device, so what rules compare of its readings stands in it by how often it changes
-- (api/ingest/feature-texts.ts). What is long and seldom changes goes beside the row whole, and is not touched while it stays the same.
alter table twin_inbox
  add column feature_states text,
  add column feature_values text;
alter table twin_inbox alter column feature_values set storage main, alter column features set storage external,
  alter column wake set storage external;

-- As they stood before: rules are looked at once more, and what they compare begins anew.
update twin_inbox set features = null, rules = 0 where features is not null;
