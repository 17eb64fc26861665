-- Does everything add up, window by window: each feed, each closed hour and day.
create table ops.reconciliation (
    feed text not null,
    grain text not null check (grain in ('hour', 'day')),
    window_start timestamptz not null,
    window_end timestamptz not null,
    attempt integer not null default 1,
    verdict text not null check (verdict in ('passed', 'repaired', 'differs', 'not_counted')),
    counts jsonb not null,
    differences jsonb not null default '[]',
    causes jsonb not null default '[]',
    repairs jsonb not null default '[]',
    checked_at timestamptz not null default clock_timestamp(),
    primary key (feed, grain, window_start, attempt),
    check (window_start < window_end)
);
comment on table ops.reconciliation is 'Every attempt is kept; the newest of a window is what holds';
comment on column ops.reconciliation.checked_at is 'The moment whose state was counted';
create index reconciliation_checked on ops.reconciliation (checked_at);

create table ops.verified_through (
    feed text not null,
    grain text not null check (grain in ('hour', 'day')),
    verified_from timestamptz not null,
    verified_through timestamptz not null,
    updated_at timestamptz not null default clock_timestamp(),
    primary key (feed, grain)
);
comment on column ops.verified_through.verified_through is 'End of the last window before which every window passed';

-- What holds of each window: its newest attempt.
create view ops.reconciliation_standing with (security_invoker = true) as
select distinct on (r.feed, r.grain, r.window_start) r.*
from ops.reconciliation as r
order by r.feed asc, r.grain asc, r.window_start asc, r.attempt desc;

-- The chain of a shard's checkpoints: one row a move, written by the move itself, with what its transaction landed.
-- A cut that is missing from the ledger, was counted twice or was changed afterwards stands out against it.
create table ops.shard_cut (
    cut_id bigint generated always as identity primary key,
    stream text not null,
    shard text not null,
    epoch bigint not null,
    after_sequence text,
    last_sequence text not null,
    events jsonb not null,
    first_arrived_at timestamptz,
    cut_at timestamptz not null default clock_timestamp(),
    foreign key (stream, shard) references ops.shard_lease
);
comment on column ops.shard_cut.events is 'Events read, by feed, as the transaction of the cut entered them';
create index shard_cut_chain on ops.shard_cut (stream, shard, cut_id);
create index shard_cut_arrived on ops.shard_cut (first_arrived_at);

create function ops.chain_cut() returns trigger
language plpgsql security definer set search_path = pg_catalog as $$
begin
    insert into ops.shard_cut (stream, shard, epoch, after_sequence, last_sequence, events, first_arrived_at)
    select new.stream, new.shard, new.epoch, old.checkpoint, new.checkpoint,
        coalesce(jsonb_object_agg(b.feed, b.events_read) filter (where b.feed is not null), '{}'), min(b.first_arrived_at)
    from ops.batch as b
    where b.landed_at >= now() and b.source = 'stream' and b.stream = new.stream and b.shard = new.shard
        and b.last_sequence = new.checkpoint;
    return null;
end $$;
create trigger shard_lease_chain after update of checkpoint on ops.shard_lease
for each row when (new.checkpoint is not null and new.checkpoint is distinct from old.checkpoint)
execute function ops.chain_cut();

-- A window is of arrival: a batch belongs to the window in which its first record arrived.
create index batch_arrived on ops.batch (feed, first_arrived_at);

-- A raw object that is built again may be of another size.
grant update (object_bytes) on ops.batch to fleet_loader;

grant select, insert on ops.reconciliation to fleet_loader;
grant select, insert, update on ops.verified_through to fleet_loader;
grant select on ops.reconciliation, ops.verified_through to fleet_transformer, fleet_ops;
grant select on ops.reconciliation_standing, ops.shard_cut to fleet_loader, fleet_transformer, fleet_ops;
