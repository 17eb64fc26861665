-- The company's order database, as FleetFlow finds it. Here it stands in for the one on RDS.
create table sites (
    site_id text primary key,
    tenant_id text not null,
    name text not null,
    kind text not null check (kind in ('hub', 'depot', 'customer')),
    region text not null,
    country text not null check (length(country) = 2),
    city text not null,
    lat double precision not null check (lat between -90 and 90),
    lon double precision not null check (lon between -180 and 180),
    timezone text not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table drivers (
    driver_id text primary key,
    tenant_id text not null,
    full_name text not null,
    phone text not null,
    licence_number text not null unique,
    licence_class text not null check (licence_class in ('B', 'C1', 'C', 'CE')),
    home_site_id text not null references sites,
    status text not null check (status in ('active', 'inactive')),
    hired_on date not null,
    updated_at timestamptz not null default now()
);

create table vehicles (
    vehicle_id text primary key,
    tenant_id text not null,
    plate text not null unique,
    vin text not null unique check (length(vin) = 17),
    make text not null,
    model text not null,
    model_year integer not null check (model_year between 1990 and 2100),
    vehicle_class text not null check (vehicle_class in ('van', 'truck', 'tractor')),
    capacity_kg integer not null check (capacity_kg > 0),
    tank_l integer not null check (tank_l > 0),
    home_site_id text not null references sites,
    status text not null check (status in ('active', 'workshop', 'retired')),
    in_service_from date not null,
    updated_at timestamptz not null default now()
);

create table shipments (
    shipment_id text primary key,
    tenant_id text not null,
    order_ref text not null,
    customer_id text not null,
    carrier_id text not null,
    service_level text not null check (service_level in ('express', 'standard', 'economy')),
    mode text not null check (mode in ('road', 'air', 'ocean', 'rail', 'courier')),
    origin_site_id text not null references sites,
    destination_site_id text not null references sites,
    pieces integer not null check (pieces > 0),
    weight_kg numeric(10, 2) not null check (weight_kg > 0),
    declared_value_minor bigint not null check (declared_value_minor >= 0),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    status text not null check (status in (
        'created', 'assigned', 'picked_up', 'in_transit', 'out_for_delivery', 'delivered',
        'failed_attempt', 'exception', 'returned', 'cancelled'
    )),
    created_at timestamptz not null,
    promised_at timestamptz not null check (promised_at >= created_at),
    cancelled_at timestamptz,
    updated_at timestamptz not null default now(),
    unique (tenant_id, order_ref)
);

create table driver_assignments (
    assignment_id text primary key,
    tenant_id text not null,
    shipment_id text not null references shipments,
    driver_id text not null references drivers,
    vehicle_id text references vehicles,
    assigned_at timestamptz not null,
    unassigned_at timestamptz check (unassigned_at >= assigned_at),
    updated_at timestamptz not null default now()
);
create index driver_assignments_shipment on driver_assignments (shipment_id);
create unique index driver_assignments_open on driver_assignments (shipment_id) where unassigned_at is null;
