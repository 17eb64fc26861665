-- The store of shipment events beyond landing's seven days, judged, and what each shipment's events come to so far.
-- dbt writes both in one transaction (macros/history.sql) but must never drop them, so they are made here.
-- A database whose history dbt had made is transformed again from landing, so that both tables begin together.
drop table if exists intermediate.int_shipment_status_history;
with undone as (delete from ops.transformed_batch where pipeline = 'shipments' returning pipeline, batch_id)
insert into ops.pending_batch (pipeline, batch_id) select u.pipeline, u.batch_id from undone as u;

create table intermediate.int_shipment_status_history (
    tenant_id text not null,
    shipment_id text not null,
    event_id text not null,
    position integer not null,
    previous_status text,
    status text not null,
    is_legal boolean not null,
    occurred_at timestamptz not null,
    recorded_at timestamptz not null,
    sequence bigint,
    reason_code text,
    driver_id text,
    vehicle_id text,
    lat double precision,
    lon double precision,
    origin text not null,
    primary key (tenant_id, shipment_id, event_id)
);

-- Rows are updated in place, so pages keep room for the next version.
create table intermediate.int_shipment_life (
    tenant_id text not null,
    shipment_id text not null,
    status text,
    status_at timestamptz,
    assigned_at timestamptz,
    picked_up_at timestamptz,
    out_for_delivery_at timestamptz,
    delivered_at timestamptz,
    failed_attempts integer not null,
    exceptions integer not null,
    illegal_transitions integer not null,
    events integer not null,
    first_event_at timestamptz not null,
    last_event_at timestamptz not null,
    driver_id text,
    vehicle_id text,
    primary key (tenant_id, shipment_id)
) with (fillfactor = 60);
comment on table intermediate.int_shipment_life is
'One row a shipment: its history folded. Always exactly what int_shipment_status_history comes to';

alter table intermediate.int_shipment_status_history owner to fleet_transformer;
alter table intermediate.int_shipment_life owner to fleet_transformer;
alter table intermediate.int_shipment_status_history enable row level security;
alter table intermediate.int_shipment_life enable row level security;
grant select on intermediate.int_shipment_status_history, intermediate.int_shipment_life to fleet_ops;
