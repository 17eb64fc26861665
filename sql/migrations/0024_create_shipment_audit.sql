-- The audit of shipments: what was believed of each, since when, and on what ground. Rows are added and never changed, but for
-- the time at which a later row took over. The transformer may add; only the owner could change or delete, and the chain of
-- hashes shows it. An entry's hash is sha256(hash of the entry before || record_send(row(the columns, in the table's order))):
-- Postgres' binary form of a record, with the type and length of each value, so no two contents have the same bytes.
create function ops.chain_next(state bytea, content bytea) returns bytea
language plpgsql immutable strict parallel safe as $$
begin
    return sha256(state || content);
end $$;

create aggregate ops.chain_hash(content bytea) (
    sfunc = ops.chain_next,
    stype = bytea,
    initcond = '',
    parallel = safe
);

-- The last day that has closed (UTC): an analyst or a test sets fleetflow.closed_on, else it is yesterday.
create function ops.closed_on() returns date
language sql stable as $$
    select coalesce(nullif(current_setting('fleetflow.closed_on', true), '')::date, (ops.as_of() at time zone 'UTC')::date - 1)
$$;
-- The moment at which that day closed.
create function ops.closed_at() returns timestamptz
language sql stable as $$
    select (ops.closed_on() + 1)::timestamp at time zone 'UTC'
$$;

-- A schema of its own, which belongs to the owner: whoever owns a schema may drop what lies in it.
create schema audit;
grant usage on schema audit to fleet_transformer, fleet_analyst, fleet_ops;

create table audit.source_batch (
    tenant_id text not null,
    batch_id bigint not null,
    source text not null,
    feed text not null,
    object_key text,
    stream text,
    shard text,
    partner text,
    file_name text,
    file_sha256 text,
    landed_at timestamptz not null,
    primary key (tenant_id, batch_id)
);
comment on table audit.source_batch is 'The batches that the audit cites; kept when the ledger of batches has expired';

create table audit.shipment_status (
    tenant_id text not null,
    shipment_id text not null,
    entry integer not null check (entry > 0),
    event_id text not null,
    version integer not null check (version > 0),
    supersedes integer check (supersedes < entry),
    position integer not null,
    previous_status text,
    status text not null,
    is_legal boolean not null,
    occurred_at timestamptz not null,
    recorded_at timestamptz not null,
    sequence bigint,
    reason_code text,
    vehicle_id text,
    lat double precision,
    lon double precision,
    origin text not null,
    batch_id bigint,
    line integer,
    object_key text,
    believed_from timestamptz not null,
    run_id uuid,
    hash bytea not null,
    believed_until timestamptz,
    primary key (tenant_id, shipment_id, entry)
);
-- Since when: found without a scan, and at no cost, for rows are only added.
create index shipment_status_believed on audit.shipment_status
using brin (believed_from) with (pages_per_range = 32, autosummarize = on);

create table audit.shipment_order (
    tenant_id text not null,
    shipment_id text not null,
    entry integer not null check (entry > 0),
    customer_id text,
    carrier_id text,
    service_level text,
    mode text,
    origin_site_id text,
    destination_site_id text,
    region text,
    created_at timestamptz,
    promised_at timestamptz,
    cancelled_at timestamptz,
    is_deleted boolean not null,
    lsn pg_lsn not null,
    committed_at timestamptz not null,
    batch_id bigint not null,
    believed_from timestamptz not null,
    run_id uuid,
    hash bytea not null,
    believed_until timestamptz,
    primary key (tenant_id, shipment_id, entry)
);
create index shipment_order_promised on audit.shipment_order (tenant_id, ((promised_at at time zone 'UTC')::date));
create index shipment_order_believed on audit.shipment_order
using brin (believed_from) with (pages_per_range = 32, autosummarize = on);

-- The heads of the chains stand apart from them: a chain that lost its tail no longer ends where its head says.
alter table intermediate.int_shipment_life add column audit_entries integer not null default 0, add column audit_hash bytea;
create table intermediate.int_shipment_order_head (
    tenant_id text not null,
    shipment_id text not null,
    audit_entries integer not null,
    audit_hash bytea not null,
    primary key (tenant_id, shipment_id)
) with (fillfactor = 80);
alter table intermediate.int_shipment_order_head owner to fleet_transformer;
alter table intermediate.int_shipment_order_head enable row level security;
grant select on intermediate.int_shipment_order_head to fleet_ops;

do $$
declare
    log text;
begin
    foreach log in array array['source_batch', 'shipment_status', 'shipment_order'] loop
        execute format('alter table audit.%I enable row level security', log);
        execute format(
            'create policy tenant on audit.%I for select to fleet_analyst'
            ' using (tenant_id = (select current_setting(''fleetflow.tenant'', true)))', log
        );
        execute format('grant select on audit.%I to fleet_analyst, fleet_ops', log);
        execute format('grant select, insert on audit.%I to fleet_transformer', log);
    end loop;
end $$;
grant update (believed_until) on audit.shipment_status, audit.shipment_order to fleet_transformer;

-- Retention takes the audit with the shipment, and only then: what is still in the marts keeps its audit.
create function ops.expire_shipment_audit(tenants text [], shipments text []) returns bigint
language plpgsql security definer set search_path = pg_catalog as $$
declare
    deleted bigint;
begin
    delete from audit.shipment_order as a
    using unnest(tenants, shipments) as e (tenant_id, shipment_id)
    where a.tenant_id = e.tenant_id and a.shipment_id = e.shipment_id and not exists (
        select from marts.fct_shipment as s where s.tenant_id = e.tenant_id and s.shipment_id = e.shipment_id
    );
    delete from audit.shipment_status as a
    using unnest(tenants, shipments) as e (tenant_id, shipment_id)
    where a.tenant_id = e.tenant_id and a.shipment_id = e.shipment_id and not exists (
        select from marts.fct_shipment as s where s.tenant_id = e.tenant_id and s.shipment_id = e.shipment_id
    );
    get diagnostics deleted = row_count;
    return deleted;
end $$;
revoke all on function ops.expire_shipment_audit(text [], text []) from public;
grant execute on function ops.expire_shipment_audit(text [], text []) to fleet_transformer;
