-- The ledger: who holds which shard, what landed, what was refused, what is transformed, what was checked.

create table ops.shard_lease (
    stream text not null,
    shard text not null,
    parents text [] not null default '{}',
    owner text,
    epoch bigint not null default 0,
    expires_at timestamptz,
    checkpoint text,
    cut_to text,
    ended boolean not null default false,
    millis_behind bigint,
    updated_at timestamptz not null default now(),
    primary key (stream, shard)
);
comment on column ops.shard_lease.epoch is 'Fencing token: grows with each change of hands';
comment on column ops.shard_lease.checkpoint is 'Last sequence number that is landed';
comment on column ops.shard_lease.cut_to is
'Write-ahead of the next object: whoever lands next cuts exactly here, so that a retry writes the same object';

create sequence ops.batch_id_seq;

create table ops.batch (
    batch_id bigint primary key default nextval('ops.batch_id_seq'),
    source text not null check (source in ('stream', 'replay', 'cdc', 'partner')),
    feed text not null,
    stream text,
    shard text,
    first_sequence text,
    last_sequence text,
    records integer not null default 0,
    events_read bigint not null,
    accepted bigint not null,
    rejected bigint not null,
    object_key text,
    object_bytes bigint,
    first_arrived_at timestamptz,
    last_arrived_at timestamptz,
    min_event_time timestamptz,
    max_event_time timestamptz,
    worker text not null,
    epoch bigint,
    landed_at timestamptz not null default clock_timestamp(),
    constraint batch_adds_up check (events_read = accepted + rejected)
);
create unique index batch_range on ops.batch (stream, shard, feed, first_sequence) where source = 'stream';
create index batch_landed on ops.batch (landed_at);

create table ops.rejected (
    reject_id bigint generated always as identity primary key,
    batch_id bigint not null references ops.batch,
    feed text not null,
    rule text not null,
    detail text not null,
    raw bytea not null,
    stream text,
    shard text,
    sequence_number text,
    sub_sequence integer,
    arrived_at timestamptz,
    rejected_at timestamptz not null default clock_timestamp(),
    state text not null default 'open' check (state in ('open', 'replayed')),
    attempts integer not null default 0,
    replayed_at timestamptz,
    replay_batch_id bigint references ops.batch
);
create index rejected_open on ops.rejected (feed, rule, rejected_at) where state = 'open';
create index rejected_batch on ops.rejected (batch_id);

create table ops.pipeline_feed (
    pipeline text not null,
    feed text not null,
    primary key (pipeline, feed)
);
insert into ops.pipeline_feed (pipeline, feed) values
('shipments', 'shipment_event'),
('shipments', 'driver_assignment_event'),
('shipments', 'sites'),
('shipments', 'drivers'),
('shipments', 'vehicles'),
('shipments', 'shipments'),
('shipments', 'driver_assignments');

create table ops.transform_run (
    run_id uuid primary key default gen_random_uuid(),
    pipeline text not null,
    state text not null default 'claimed' check (state in ('claimed', 'done', 'failed', 'held')),
    claimed_by text not null,
    started_at timestamptz not null default clock_timestamp(),
    heartbeat_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    batches integer not null default 0,
    events bigint not null default 0,
    freshness_p50_s double precision,
    freshness_p95_s double precision,
    freshness_p99_s double precision,
    error text
);
create unique index transform_run_single on ops.transform_run (pipeline) where state = 'claimed';
create index transform_run_started on ops.transform_run (pipeline, started_at);

-- Small by design: a batch leaves it when it is transformed, so a claim never scans the history.
create table ops.pending_batch (
    pipeline text not null,
    batch_id bigint not null references ops.batch,
    run_id uuid references ops.transform_run,
    primary key (pipeline, batch_id)
);

create table ops.transformed_batch (
    pipeline text not null,
    batch_id bigint not null references ops.batch,
    run_id uuid not null references ops.transform_run,
    primary key (pipeline, batch_id)
);
create index transformed_batch_run on ops.transformed_batch (run_id);

create function ops.enqueue_batch() returns trigger
language plpgsql security definer set search_path = pg_catalog as $$
begin
    insert into ops.pending_batch (pipeline, batch_id)
    select pf.pipeline, new.batch_id
    from ops.pipeline_feed as pf
    where pf.feed = new.feed and new.accepted > 0;
    return null;
end $$;
create trigger batch_enqueue after insert on ops.batch
for each row execute function ops.enqueue_batch();

create table ops.check_result (
    check_result_id bigint generated always as identity primary key,
    suite text not null,
    check_name text not null,
    subject text not null,
    tenant_id text,
    severity text not null check (severity in ('error', 'warn')),
    passed boolean not null,
    observed double precision,
    threshold double precision,
    unexpected bigint,
    total bigint,
    detail text not null,
    run_id uuid,
    checked_at timestamptz not null default clock_timestamp()
);
create index check_result_checked on ops.check_result (checked_at);

create table ops.cdc_source (
    slot text primary key,
    publication text not null,
    epoch integer not null default 1,
    applied_lsn pg_lsn,
    snapshot_at timestamptz,
    snapshot_lsn pg_lsn,
    updated_at timestamptz not null default now()
);

create table ops.cdc_pull (
    pull_id bigint generated always as identity primary key,
    slot text not null,
    epoch integer not null,
    kind text not null check (kind in ('snapshot', 'pull')),
    started_at timestamptz not null,
    seconds double precision not null,
    changes bigint not null,
    from_lsn pg_lsn,
    to_lsn pg_lsn,
    lag_bytes bigint,
    retained_bytes bigint
);
create index cdc_pull_started on ops.cdc_pull (started_at);

create table ops.schema_change (
    schema_change_id bigint generated always as identity primary key,
    source text not null,
    entity text not null,
    change text not null,
    detail text not null,
    before jsonb,
    after jsonb,
    lsn pg_lsn,
    seen_at timestamptz not null default clock_timestamp()
);

create table ops.alert (
    alert_id bigint generated always as identity primary key,
    name text not null,
    severity text not null check (severity in ('error', 'warn', 'info')),
    subject text not null,
    detail text not null,
    runbook text,
    raised_at timestamptz not null default clock_timestamp(),
    delivered boolean not null default false
);

-- "Now" for models that depend on it; a test or a back-dated report sets fleetflow.as_of.
create function ops.as_of() returns timestamptz
language sql stable as $$
    select coalesce(nullif(current_setting('fleetflow.as_of', true), '')::timestamptz, now())
$$;

-- Keyed pseudonyms. HMAC-SHA-256 (RFC 2104) from core's sha256(): no extension is needed. The key never leaves vault.
create table vault.pseudonym_key (
    version integer primary key,
    inner_pad bytea not null,
    outer_pad bytea not null,
    created_at timestamptz not null default now()
);

create function vault.pad(key bytea, filler integer) returns bytea
language plpgsql immutable strict set search_path = pg_catalog as $$
declare
    block bytea := case when length(key) > 64 then sha256(key) else key end;
    padded bytea := block || decode(repeat('00', 64 - length(block)), 'hex');
begin
    for i in 0..63 loop
        padded := set_byte(padded, i, get_byte(padded, i) # filler);
    end loop;
    return padded;
end $$;

create function ops.pseudonym(tenant text, identifier text) returns text
language sql stable strict security definer set search_path = pg_catalog as $$
    select left(encode(sha256(k.outer_pad || sha256(k.inner_pad || convert_to(tenant || E'\x1f' || identifier, 'UTF8'))), 'hex'), 24)
    from vault.pseudonym_key as k
    order by k.version desc
    limit 1
$$;
revoke all on function ops.pseudonym(text, text) from public;
revoke all on function vault.pad(bytea, integer) from public;

create procedure ops.set_pseudonym_key(key text)
language sql security definer set search_path = pg_catalog begin atomic
insert into vault.pseudonym_key (version, inner_pad, outer_pad)
values (1, vault.pad(convert_to(key, 'UTF8'), 54), vault.pad(convert_to(key, 'UTF8'), 92))
on conflict (version) do nothing;
end;
revoke all on procedure ops.set_pseudonym_key(text) from public;

grant execute on function ops.pseudonym(text, text) to fleet_transformer;
grant select, insert, update on ops.shard_lease, ops.cdc_source to fleet_loader;
grant select, insert on ops.batch, ops.cdc_pull, ops.schema_change to fleet_loader;
grant select, insert, update on ops.rejected to fleet_loader;
grant usage on sequence ops.batch_id_seq to fleet_loader;
grant insert on ops.alert to fleet_loader, fleet_transformer, fleet_ops;
grant update (delivered) on ops.alert to fleet_loader, fleet_transformer, fleet_ops;
grant select, update, delete on ops.pending_batch to fleet_transformer;
grant select, insert, update on ops.transform_run to fleet_transformer;
grant select, insert on ops.transformed_batch, ops.check_result to fleet_transformer;
grant select on all tables in schema ops to fleet_transformer, fleet_ops, fleet_loader;
