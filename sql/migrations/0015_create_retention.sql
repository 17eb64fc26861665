-- Retention: what may not be dropped yet, and what was.
create table ops.legal_hold (
    hold_id bigint generated always as identity primary key,
    tenant_id text,
    feed text,
    from_at timestamptz,
    to_at timestamptz,
    reason text not null,
    placed_by text not null,
    placed_at timestamptz not null default clock_timestamp(),
    released_by text,
    released_at timestamptz
);
comment on table ops.legal_hold is 'Data of a tenant (null: all), a feed (null: all), a time range (null: open) that no retention drops';

create table ops.retention_action (
    retention_action_id bigint generated always as identity primary key,
    area text not null check (area in ('raw', 'landing', 'lake', 'marts', 'ledger')),
    subject text not null,
    action text not null check (action in ('dropped', 'refused')),
    reason text not null,
    row_count bigint,
    size_bytes bigint,
    done_at timestamptz not null default clock_timestamp()
);
create index retention_action_done on ops.retention_action (done_at);

alter table ops.batch add column object_expired_at timestamptz;
grant update (object_expired_at) on ops.batch to fleet_loader;
grant select, insert on ops.retention_action to fleet_loader, fleet_transformer;
grant select on ops.retention_action, ops.legal_hold to fleet_loader, fleet_transformer, fleet_ops;
grant insert, update on ops.legal_hold to fleet_ops;
