-- Backfills: asked for once, done chunk by chunk, each chunk re-landed, re-transformed and verified.
alter table ops.batch drop constraint batch_source_check;
alter table ops.batch add constraint batch_source_check
check (source in ('stream', 'replay', 'cdc', 'partner', 'backfill'));

-- Live work goes first: a claim takes by priority, then by age.
alter table ops.pending_batch add column priority smallint not null default 0;
comment on column ops.pending_batch.priority is '0 live, 1 backfill: taken after what is live, and in small parts';

create table ops.backfill (
    backfill_id bigint generated always as identity primary key,
    feed text not null,
    from_at timestamptz not null,
    to_at timestamptz not null,
    state text not null default 'open' check (state in ('open', 'done', 'failed', 'cancelled')),
    requested_by text not null,
    requested_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,
    reason text,
    check (from_at < to_at)
);
create unique index backfill_open on ops.backfill (feed, from_at, to_at) where state = 'open';

create table ops.backfill_chunk (
    backfill_id bigint not null references ops.backfill,
    chunk integer not null,
    from_at timestamptz not null,
    to_at timestamptz not null,
    arm text not null check (arm in ('landing', 'lake')),
    state text not null default 'waiting'
    check (state in ('waiting', 'landed', 'transformed', 'verified', 'failed')),
    rows_expected bigint not null,
    rows_landed bigint,
    heartbeat_at timestamptz,
    error text,
    primary key (backfill_id, chunk)
);
alter table ops.batch add column backfill_id bigint references ops.backfill;

grant select, insert, update on ops.backfill, ops.backfill_chunk to fleet_loader;
grant insert on ops.pending_batch to fleet_loader;
grant delete on ops.transformed_batch to fleet_loader;
grant select on ops.backfill, ops.backfill_chunk to fleet_transformer, fleet_ops;

-- What a backfill lands again is in the lake already, and waits behind what is live.
create or replace function ops.enqueue_batch() returns trigger
language plpgsql security definer set search_path = pg_catalog as $$
begin
    insert into ops.pending_batch (pipeline, batch_id, priority)
    select pf.pipeline, new.batch_id, case when new.source = 'backfill' then 1 else 0 end
    from ops.pipeline_feed as pf
    where pf.feed = new.feed and new.accepted > 0 and not (new.source = 'backfill' and pf.pipeline = 'lake');
    return null;
end $$;
