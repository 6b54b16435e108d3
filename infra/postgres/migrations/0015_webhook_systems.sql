-- A system that says what it does with tickets is not told its own words (docs/tickets.md).
alter table webhooks add column system text; -- by which it speaks of tickets; null: it is told all
