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
comment on column ops.lake_commit.snapshot_id is 'Null where every row was a repeat: nothing was committed to the table';
comment on column ops.lake_commit.rows_repeated is
'Rows that the lake held already, or that came twice in these batches: the same event id with the same content';

-- Written before the commit to the table: after a crash it tells which batches a snapshot took in.
create table ops.lake_announcement (
    run_id uuid not null references ops.transform_run,
    feed text not null,
    batch_ids bigint [] not null,
    rows_read bigint not null,
    rows_added bigint not null,
    days integer not null,
    seconds double precision not null,
    announced_at timestamptz not null default clock_timestamp(),
    primary key (run_id, feed)
);

grant select, insert on ops.lake_commit to fleet_loader;
grant select, insert, update, delete on ops.lake_announcement to fleet_loader;
grant select on ops.lake_commit, ops.lake_announcement to fleet_transformer, fleet_ops;

create schema lake authorization fleet_loader;
grant usage on schema lake to fleet_ops;
comment on schema lake is 'Catalog of the Iceberg tables where there is no Glue';

-- The layout is that of Iceberg's JDBC catalog, schema version 1: any Iceberg reader with this database can use it.
create table lake.iceberg_tables (
    catalog_name varchar(255) not null,
    table_namespace varchar(255) not null,
    table_name varchar(255) not null,
    metadata_location varchar(1000),
    previous_metadata_location varchar(1000),
    iceberg_type varchar(5),
    primary key (catalog_name, table_namespace, table_name)
);
create table lake.iceberg_namespace_properties (
    catalog_name varchar(255) not null,
    namespace varchar(255) not null,
    property_key varchar(255) not null,
    property_value varchar(1000) not null,
    primary key (catalog_name, namespace, property_key)
);
grant select, insert, update, delete on lake.iceberg_tables, lake.iceberg_namespace_properties to fleet_loader;
grant select on lake.iceberg_tables, lake.iceberg_namespace_properties to fleet_ops;
