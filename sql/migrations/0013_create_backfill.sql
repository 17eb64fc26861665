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
    rows_per_chunk bigint not null default 1000000 check (rows_per_chunk > 0),
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
    repairs integer not null default 0,
    content_hash text,
    error text,
    primary key (backfill_id, chunk)
);
comment on column ops.backfill_chunk.rows_landed is
'Rows of the chunk that wait in landing: copied from the lake, or found there and queued again';
comment on column ops.backfill_chunk.content_hash is
'Of what was verified: the same rows give the same hash, in any order and any cut';

-- Which batches a backfill has queued for the pipelines: each once, by the first chunk that needs it.
create table ops.backfill_batch (
    backfill_id bigint not null references ops.backfill,
    batch_id bigint not null references ops.batch,
    chunk integer not null,
    primary key (backfill_id, batch_id)
);
create index backfill_batch_batch on ops.backfill_batch (batch_id);
alter table ops.batch add column backfill_id bigint references ops.backfill;
create index batch_event_time on ops.batch (feed, max_event_time) where accepted > 0;
create index pending_batch_backfill on ops.pending_batch (pipeline, batch_id) where priority > 0;
-- A range of event times is looked up without a scan of three years; it costs an insert nearly nothing.
create index int_shipment_status_history_occurred on intermediate.int_shipment_status_history
using brin (occurred_at) with (pages_per_range = 32, autosummarize = on);

grant select, insert, update on ops.backfill, ops.backfill_chunk to fleet_loader;
grant insert on ops.pending_batch to fleet_loader;
grant delete on ops.transformed_batch to fleet_loader;
grant select, insert, delete on ops.backfill_batch to fleet_loader;
grant update (backfill_id) on ops.batch to fleet_loader;
grant select on ops.backfill, ops.backfill_chunk, ops.backfill_batch to fleet_transformer, fleet_ops;
-- Who mends the store of events queues what it has to be folded from again, in the same transaction.
grant insert on ops.pending_batch to fleet_transformer;
grant delete on ops.transformed_batch to fleet_transformer;
grant update on ops.backfill_chunk to fleet_transformer;

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
