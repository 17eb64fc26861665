-- The vehicle side: a pipeline of its own over the same ledger. Its steps fold what vehicles and drivers did, entity by
-- entity, into tables of schema intermediate, from which dbt builds the marts.
insert into ops.pipeline_feed (pipeline, feed) values
('vehicles', 'gps_location'),
('vehicles', 'can_frame'),
('vehicles', 'driver_activity'),
('vehicles', 'fuel_purchase'),
('vehicles', 'service_record');

-- What landing still holds is folded too; what it has dropped comes by a backfill.
insert into ops.pending_batch (pipeline, batch_id)
select pf.pipeline, b.batch_id
from ops.batch as b
inner join ops.pipeline_feed as pf on b.feed = pf.feed and pf.pipeline = 'vehicles'
where b.accepted > 0 and b.first_arrived_at >= clock_timestamp() - interval '7 days';

-- Where an entity's fold stood: `state` holds everything that happened before `as_of`, and nothing that happened then or
-- later. A late event goes back to the newest state before it.
create table intermediate.fold_state (
    fold text not null,
    tenant_id text not null,
    entity_id text not null,
    as_of timestamptz not null,
    version smallint not null,
    state bytea not null,
    primary key (fold, tenant_id, entity_id, as_of)
);
comment on table intermediate.fold_state is 'Where the folds of vehicles and drivers stood at some times, to go on from';

-- What a run recomputes: rows of these entities that begin at `since` or later. Filled by the run's steps, read by its models.
create unlogged table intermediate.int_vehicle_touched (
    tenant_id text not null,
    vehicle_id text not null,
    since timestamptz not null,
    primary key (tenant_id, vehicle_id)
);
create unlogged table intermediate.int_driver_touched (
    tenant_id text not null,
    driver_id text not null,
    since timestamptz not null,
    primary key (tenant_id, driver_id)
);

-- The pseudonyms of drivers whom the vehicle side knows, made once each: the keyed hash is dear.
create table intermediate.int_driver_pseudonym (
    tenant_id text not null,
    driver_id text not null,
    driver_key text not null,
    primary key (tenant_id, driver_id)
);

do $$
declare
    child text;
begin
    foreach child in array array['fold_state', 'int_vehicle_touched', 'int_driver_touched', 'int_driver_pseudonym'] loop
        execute format('alter table intermediate.%I owner to fleet_transformer', child);
        execute format('alter table intermediate.%I enable row level security', child);
        execute format('grant select on intermediate.%I to fleet_ops', child);
    end loop;
end $$;
