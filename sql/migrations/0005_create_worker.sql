-- Who lands: a worker that lives says so, and every worker holds its even share of the shards.
create table ops.worker (
    worker text primary key,
    heartbeat_at timestamptz not null default clock_timestamp()
);
grant select, insert, update, delete on ops.worker to fleet_loader;
grant select on ops.worker to fleet_transformer, fleet_ops;
