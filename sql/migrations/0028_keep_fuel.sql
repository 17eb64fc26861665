-- Loads have their weight, so that a trip's load is a share of the payload.
alter table intermediate.int_vehicle_load add column weight_kg numeric(10, 2);
comment on column intermediate.int_vehicle_load.weight_kg is 'As the order system has it; null where it does not know the shipment';

alter table intermediate.int_fuel_trip add column load_share double precision;
comment on column intermediate.int_fuel_trip.load_share is
'Weight of the shipments on the vehicle, over the time of the trip, as a share of its payload; null where not known';

-- The next run looks at all shipments again, and judges anew the vehicles whose loads now have a weight.
delete from intermediate.int_load_mark;

-- Readings go when no row can rest on them any more. A vehicle whose old ones are gone is closed before some time.
alter table intermediate.int_fuel_reading add column kept_on date not null default current_date;
comment on column intermediate.int_fuel_reading.kept_on is 'The UTC day of the run that wrote it last';

create table intermediate.int_fuel_closed (
    tenant_id text not null,
    vehicle_id text not null,
    closed_before timestamptz not null,
    primary key (tenant_id, vehicle_id)
);
comment on table intermediate.int_fuel_closed is 'Before when a vehicle''s rows of fuel are final: what comes later than that changes none';
alter table intermediate.int_fuel_closed owner to fleet_transformer;
alter table intermediate.int_fuel_closed enable row level security, force row level security;
grant select on intermediate.int_fuel_closed to fleet_ops;

-- What a run has touched outlives a crash of the server: whoever follows one that was not marked goes on from it.
alter table intermediate.int_vehicle_touched set logged;
alter table intermediate.int_driver_touched set logged;
alter table intermediate.int_vehicle_hour_touched set logged;
create table intermediate.last_fold (
    one boolean primary key default true check (one),
    run_id uuid not null
);
comment on table intermediate.last_fold is 'The run that the touched vehicles and drivers are of';
alter table intermediate.last_fold owner to fleet_transformer;
alter table intermediate.last_fold enable row level security;
grant select on intermediate.last_fold to fleet_ops;
