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
    primary key (feed, grain, window_start, attempt)
);
comment on table ops.reconciliation is 'Every attempt is kept; the newest of a window is what holds';

create table ops.verified_through (
    feed text not null,
    grain text not null check (grain in ('hour', 'day')),
    verified_from timestamptz not null,
    verified_through timestamptz not null,
    updated_at timestamptz not null default clock_timestamp(),
    primary key (feed, grain)
);
comment on column ops.verified_through.verified_through is 'End of the last window before which every window passed';

grant select, insert, update on ops.reconciliation, ops.verified_through to fleet_loader;
grant select on ops.reconciliation, ops.verified_through to fleet_transformer, fleet_ops;
