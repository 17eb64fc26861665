-- CDC mirrors of the order database: what is there now, and every change with its LSN.
-- Names, phones, licence numbers, plates and VINs are not mirrored: the publication leaves them out.
-- The loader owns the mirrors: it adds the columns that the order database adds.
grant create on schema source to fleet_loader;

create table source.sites (
    site_id text not null,
    tenant_id text not null,
    name text,
    kind text,
    region text,
    country text,
    city text,
    lat double precision,
    lon double precision,
    timezone text,
    created_at timestamptz,
    updated_at timestamptz,
    _lsn pg_lsn not null,
    _committed_at timestamptz not null,
    _deleted boolean not null default false,
    batch_id bigint not null,
    primary key (site_id)
);
create table source.sites_history (
    site_id text,
    tenant_id text,
    name text,
    kind text,
    region text,
    country text,
    city text,
    lat double precision,
    lon double precision,
    timezone text,
    created_at timestamptz,
    updated_at timestamptz,
    _op char(1) not null check (_op in ('s', 'i', 'u', 'd', 't')),
    _lsn pg_lsn not null,
    _seq bigint not null,
    _committed_at timestamptz not null,
    batch_id bigint not null
);
create index sites_history_batch on source.sites_history using brin (batch_id) with (pages_per_range = 16, autosummarize = on);
create index sites_history_key on source.sites_history (site_id, _lsn);

create table source.drivers (
    driver_id text not null,
    tenant_id text not null,
    licence_class text,
    home_site_id text,
    status text,
    hired_on date,
    updated_at timestamptz,
    _lsn pg_lsn not null,
    _committed_at timestamptz not null,
    _deleted boolean not null default false,
    batch_id bigint not null,
    primary key (driver_id)
);
create table source.drivers_history (
    driver_id text,
    tenant_id text,
    licence_class text,
    home_site_id text,
    status text,
    hired_on date,
    updated_at timestamptz,
    _op char(1) not null check (_op in ('s', 'i', 'u', 'd', 't')),
    _lsn pg_lsn not null,
    _seq bigint not null,
    _committed_at timestamptz not null,
    batch_id bigint not null
);
create index drivers_history_batch on source.drivers_history using brin (batch_id) with (pages_per_range = 16, autosummarize = on);
create index drivers_history_key on source.drivers_history (driver_id, _lsn);

create table source.vehicles (
    vehicle_id text not null,
    tenant_id text not null,
    make text,
    model text,
    model_year integer,
    vehicle_class text,
    capacity_kg integer,
    tank_l integer,
    home_site_id text,
    status text,
    in_service_from date,
    updated_at timestamptz,
    _lsn pg_lsn not null,
    _committed_at timestamptz not null,
    _deleted boolean not null default false,
    batch_id bigint not null,
    primary key (vehicle_id)
);
create table source.vehicles_history (
    vehicle_id text,
    tenant_id text,
    make text,
    model text,
    model_year integer,
    vehicle_class text,
    capacity_kg integer,
    tank_l integer,
    home_site_id text,
    status text,
    in_service_from date,
    updated_at timestamptz,
    _op char(1) not null check (_op in ('s', 'i', 'u', 'd', 't')),
    _lsn pg_lsn not null,
    _seq bigint not null,
    _committed_at timestamptz not null,
    batch_id bigint not null
);
create index vehicles_history_batch on source.vehicles_history using brin (batch_id) with (pages_per_range = 16, autosummarize = on);
create index vehicles_history_key on source.vehicles_history (vehicle_id, _lsn);

create table source.shipments (
    shipment_id text not null,
    tenant_id text not null,
    order_ref text,
    customer_id text,
    carrier_id text,
    service_level text,
    mode text,
    origin_site_id text,
    destination_site_id text,
    pieces integer,
    weight_kg numeric(10, 2),
    declared_value_minor bigint,
    currency text,
    status text,
    created_at timestamptz,
    promised_at timestamptz,
    cancelled_at timestamptz,
    updated_at timestamptz,
    _lsn pg_lsn not null,
    _committed_at timestamptz not null,
    _deleted boolean not null default false,
    batch_id bigint not null,
    primary key (shipment_id)
);
create table source.shipments_history (
    shipment_id text,
    tenant_id text,
    order_ref text,
    customer_id text,
    carrier_id text,
    service_level text,
    mode text,
    origin_site_id text,
    destination_site_id text,
    pieces integer,
    weight_kg numeric(10, 2),
    declared_value_minor bigint,
    currency text,
    status text,
    created_at timestamptz,
    promised_at timestamptz,
    cancelled_at timestamptz,
    updated_at timestamptz,
    _op char(1) not null check (_op in ('s', 'i', 'u', 'd', 't')),
    _lsn pg_lsn not null,
    _seq bigint not null,
    _committed_at timestamptz not null,
    batch_id bigint not null
);
create index shipments_history_batch on source.shipments_history using brin (batch_id) with (pages_per_range = 16, autosummarize = on);
create index shipments_history_key on source.shipments_history (shipment_id, _lsn);

create table source.driver_assignments (
    assignment_id text not null,
    tenant_id text not null,
    shipment_id text,
    driver_id text,
    vehicle_id text,
    assigned_at timestamptz,
    unassigned_at timestamptz,
    updated_at timestamptz,
    _lsn pg_lsn not null,
    _committed_at timestamptz not null,
    _deleted boolean not null default false,
    batch_id bigint not null,
    primary key (assignment_id)
);
create table source.driver_assignments_history (
    assignment_id text,
    tenant_id text,
    shipment_id text,
    driver_id text,
    vehicle_id text,
    assigned_at timestamptz,
    unassigned_at timestamptz,
    updated_at timestamptz,
    _op char(1) not null check (_op in ('s', 'i', 'u', 'd', 't')),
    _lsn pg_lsn not null,
    _seq bigint not null,
    _committed_at timestamptz not null,
    batch_id bigint not null
);
create index driver_assignments_history_batch on source.driver_assignments_history using brin (batch_id) with (pages_per_range = 16, autosummarize = on);
create index driver_assignments_history_key on source.driver_assignments_history (assignment_id, _lsn);

create index shipments_batch on source.shipments (batch_id);

do $$
declare
    entity text;
begin
    for entity in select tablename from pg_tables where schemaname = 'source' loop
        execute format('alter table source.%I owner to fleet_loader', entity);
        execute format('alter table source.%I enable row level security', entity);
    end loop;
end $$;
grant select on all tables in schema source to fleet_transformer, fleet_ops;
