-- The lake: a pipeline of its own over the same ledger, and what each of its commits took in.
insert into ops.pipeline_feed (pipeline, feed) values
('lake', 'gps_location'),
('lake', 'shipment_event'),
('lake', 'driver_assignment_event'),
('lake', 'fuel_purchase'),
('lake', 'service_record');

-- What landed before there was a lake goes into it too.
insert into ops.pending_batch (pipeline, batch_id)
select 'lake', b.batch_id
from ops.batch as b
inner join ops.pipeline_feed as pf on b.feed = pf.feed and pf.pipeline = 'lake'
where b.accepted > 0 and b.object_key is not null;

-- Who compacts also claims and marks.
grant select, insert, update, delete on ops.pending_batch to fleet_loader;
grant select, insert, update on ops.transform_run to fleet_loader;
grant select, insert on ops.transformed_batch to fleet_loader;

create table ops.lake_commit (
    run_id uuid not null references ops.transform_run,
    feed text not null,
    snapshot_id bigint,
    batches integer not null,
    rows_read bigint not null,
    rows_added bigint not null,
    rows_repeated bigint not null,
    days integer not null,
    seconds double precision not null,
    committed_at timestamptz not null default clock_timestamp(),
    primary key (run_id, feed),
    constraint lake_commit_adds_up check (rows_read = rows_added + rows_repeated)
);
grant select, insert on ops.lake_commit to fleet_loader;
grant select on ops.lake_commit to fleet_transformer, fleet_ops;
create schema lake authorization fleet_loader;
grant usage on schema lake to fleet_ops;
comment on schema lake is 'Catalog of the Iceberg tables where there is no Glue';
