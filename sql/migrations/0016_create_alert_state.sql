-- An alert fires once, stays open while its cause stands, and is resolved once.
alter table ops.alert add column resolved_at timestamptz;
alter table ops.alert add column last_seen_at timestamptz;
alter table ops.alert add column resolution_delivered boolean not null default false;
create unique index alert_open on ops.alert (name, subject) where resolved_at is null and last_seen_at is not null;
comment on column ops.alert.last_seen_at is 'When the cause was last found standing; null for an event that has no duration';
grant update (resolved_at, last_seen_at, resolution_delivered) on ops.alert to fleet_loader, fleet_transformer, fleet_ops;

-- An alert that is open can change its severity and its words.
grant update (severity, detail) on ops.alert to fleet_ops;

-- What stands above its limit now, also before it has stood long enough to be an alert, and while it waits to be
-- called gone. What one look finds is known to the next one, in whatever process.
create table ops.alert_state (
    name text not null,
    subject text not null,
    severity text not null check (severity in ('error', 'warn')),
    value double precision not null,
    words text not null,
    first_seen_at timestamptz not null,
    last_seen_at timestamptz not null,
    clear_since timestamptz,
    alert_id bigint references ops.alert,
    primary key (name, subject)
);
comment on column ops.alert_state.clear_since is 'Since when it is not found any more; resolved when that lasts';

-- What people are to be told, by channel: written with the alert, marked when the channel took it.
create table ops.alert_notice (
    alert_id bigint not null references ops.alert,
    channel text not null check (channel in ('sns', 'email', 'webhook')),
    notice text not null check (notice in ('raised', 'reminder', 'resolved')),
    queued_at timestamptz not null default clock_timestamp(),
    sent_at timestamptz,
    attempts integer not null default 0,
    tried_at timestamptz,
    error text,
    primary key (alert_id, channel, notice)
);
create index alert_notice_unsent on ops.alert_notice (queued_at) where sent_at is null;

-- Who looked at the platform, and when: whoever watches can be watched.
create table ops.health_check (
    checker text primary key,
    checked_at timestamptz not null,
    seconds double precision not null,
    errors integer not null,
    warnings integer not null,
    unmeasured integer not null
);

grant select, insert, update, delete on ops.alert_state to fleet_ops;
grant select, insert, update on ops.alert_notice, ops.health_check to fleet_ops;
grant select on ops.alert_state, ops.alert_notice, ops.health_check to fleet_loader, fleet_transformer;

-- Transactions and locks of other roles are seen only with this.
grant pg_monitor to fleet_ops;
