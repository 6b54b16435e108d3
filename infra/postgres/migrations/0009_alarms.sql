-- Alarms: one row each, as it stands.

create table alarms (
  incarnation integer not null,
  n           integer not null,
  tenant      text not null,
  device      text not null,
  primary key (incarnation, n)
);
