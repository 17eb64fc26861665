-- Retention of the batches that the audit cites: kept while an entry cites them, gone after. Found by index, not by reading
-- years of entries every night; a batch stands in many entries in a row, so the indexes stay small.
create index shipment_status_batch on audit.shipment_status (tenant_id, batch_id);
create index shipment_order_batch on audit.shipment_order (tenant_id, batch_id);
create index source_batch_landed on audit.source_batch (landed_at);

-- Of batches that landed before a moment. An entry takes over its source from one of the same shipment, or from a batch that
-- is claimed now: what is older than retention and cited by nothing is not cited again.
create function ops.expire_audit_sources(before timestamptz, chunk integer) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    deleted bigint;
begin
    delete from audit.source_batch as s
    using (
        select o.tenant_id, o.batch_id
        from audit.source_batch as o
        where o.landed_at < before
            and not exists (
                select from audit.shipment_status as a where a.tenant_id = o.tenant_id and a.batch_id = o.batch_id
            )
            and not exists (
                select from audit.shipment_order as a where a.tenant_id = o.tenant_id and a.batch_id = o.batch_id
            )
        limit chunk
    ) as e
    where s.tenant_id = e.tenant_id and s.batch_id = e.batch_id;
    get diagnostics deleted = row_count;
    return deleted;
end $$;
revoke all on function ops.expire_audit_sources(timestamptz, integer) from public;
grant execute on function ops.expire_audit_sources(timestamptz, integer) to fleet_transformer;
