-- An alert fires once, stays open while its cause stands, and is resolved once.
alter table ops.alert add column resolved_at timestamptz;
alter table ops.alert add column last_seen_at timestamptz;
alter table ops.alert add column resolution_delivered boolean not null default false;
create unique index alert_open on ops.alert (name, subject) where resolved_at is null and last_seen_at is not null;
comment on column ops.alert.last_seen_at is 'When the cause was last found standing; null for an event that has no duration';
grant update (resolved_at, last_seen_at, resolution_delivered) on ops.alert to fleet_loader, fleet_transformer, fleet_ops;
