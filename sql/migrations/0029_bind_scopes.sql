-- A query asks for its tenant when it first looks into a table, and for scopes and grants when it has found a row there. What a
-- caller's own function changes in between mixed one tenant's rows with the rights of another. So rights name their tenant.
-- In plpgsql, for its result is complete before any of it is looked at.
create function ops.places(of_level text) returns table (tenant_id text, value text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    tenant_id := current_setting('fleetflow.tenant', true);
    case of_level
        when 'region' then return query select places.tenant_id, s.value from ops.scope_regions() as s (value);
        when 'site' then return query select places.tenant_id, s.value from ops.scope_sites() as s (value);
        when 'vehicle' then return query select places.tenant_id, s.value from ops.scope_vehicles() as s (value);
        when 'driver' then return query select places.tenant_id, s.value from ops.scope_drivers() as s (value);
        when 'granted' then return query select places.tenant_id, s.value from ops.granted_vehicles() as s (value);
    end case;
end $$;
revoke all on function ops.places(text) from public;
grant execute on function ops.places(text) to fleet_analyst, fleet_partner;

-- Gives a relation to its readers and puts the policies on it that its columns ask for. What it made it remembers by a hash in
-- the policy's comment, so that a second call looks and does nothing. Whoever owns the relation calls it, after each build.
create or replace function ops.publish(target regclass, is_shared boolean default false) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    kind "char" := (select c.relkind from pg_class as c where c.oid = target);
    place text := (select n.nspname from pg_class as c join pg_namespace as n on n.oid = c.relnamespace where c.oid = target);
    names text [] := (
        select array_agg(a.attname::text order by a.attnum) from pg_attribute as a
        where a.attrelid = target and a.attnum > 0 and not a.attisdropped
    );
    forced boolean := (
        select r.rolbypassrls or r.rolsuper from pg_class as c join pg_roles as r on r.oid = c.relowner where c.oid = target
    );
    placed boolean := exists (
        select from unnest(names) as n where n in ('region', 'vehicle_id', 'site_id') or n like '%\_site\_id'
    );
    reader text := case place when 'live' then 'fleet_live' else 'fleet_analyst' end;
    -- Where the login may not, the tenant is null: a name that it may not use reads no more rows than one that nobody has.
    tenant_rule text := 'tenant_id = (select nullif(current_setting(''fleetflow.tenant'', true), '''') where %s)';
    -- Rights come with the tenant that they are of: the setting may change between what a query asks first and what it asks next.
    place_rule text := '(tenant_id, %I) in (select p.tenant_id, p.value from ops.places(%L) as p)';
    scope_rule text;
    wanted text;
begin
    if kind = 'm' then
        raise exception '%: a materialized view has no row security; make it a table with tenant_id', target;
    elsif kind = 'v' then
        if not 'security_invoker=true' = any(coalesce((select c.reloptions from pg_class as c where c.oid = target), '{}')) then
            execute format('alter view %s set (security_invoker = true)', target);
        end if;
        execute format('grant select on %s to %I', target, reader);
        if 'vehicle_id' = any(names) then
            perform ops.publish_to_partners(target, names);
        end if;
        return true;
    elsif not 'tenant_id' = any(names) then
        if not is_shared then
            raise exception '%: no column tenant_id, so no tenant can be told from another', target
            using hint = 'Add tenant_id; or, if it holds words that are the same for everybody, make it a seed.';
        end if;
        execute format('grant select on %s to %I', target, reader);
        return true;
    end if;

    select coalesce(string_agg(rule, ' or ' order by at), 'false') into scope_rule
    from (
        select c.at, case
            when c.name = 'region' then format(place_rule, c.name, 'region')
            when c.name = 'vehicle_id' then format(place_rule, c.name, 'vehicle')
            -- A driver's rows follow the driver's base only where nothing nearer places them.
            when c.name = 'driver_key' and not placed then format(place_rule, c.name, 'driver')
            when c.name = 'site_id' or c.name like '%\_site\_id' then format(place_rule, c.name, 'site')
        end as rule
        from unnest(names) with ordinality as c (name, at)
    ) as rules;
    wanted := md5(concat_ws(E'\n', '2', tenant_rule, scope_rule, forced, names));
    if exists (
        select from pg_policy as p join pg_class as c on c.oid = p.polrelid
        where p.polrelid = target and p.polname = 'tenant' and c.relrowsecurity
            and obj_description(p.oid, 'pg_policy') = wanted
    ) and has_table_privilege(reader, target, 'select') then
        return false;
    end if;

    execute format('alter table %s enable row level security', target);
    if forced then
        execute format('alter table %s force row level security', target);
    end if;
    execute format('drop policy if exists tenant on %s', target);
    execute format('drop policy if exists scope on %s', target);
    execute format('drop policy if exists partner on %s', target);
    execute format(
        'create policy tenant on %s for select to fleet_analyst, fleet_live using (%s)',
        target, format(tenant_rule, 'ops.may_see_tenant()')
    );
    execute format(
        'create policy scope on %s as restrictive for select to fleet_analyst'
        ' using (tenant_id = (select current_setting(''fleetflow.tenant'', true) where ops.is_unscoped()) or %s)',
        target, scope_rule
    );
    if 'vehicle_id' = any(names) then
        execute format(
            'create policy partner on %s for select to fleet_partner using (%s and %s)',
            target, format(tenant_rule, 'exists (select from ops.granted_vehicles())'), format(place_rule, 'vehicle_id', 'granted')
        );
        perform ops.publish_to_partners(target, names);
    end if;
    execute format('comment on policy tenant on %s is %L', target, wanted);
    execute format('grant select on %s to %I', target, reader);
    return true;
end $$;

do $$
declare
    target regclass;
begin
    for target in select distinct p.polrelid::regclass from pg_policy as p where p.polname = 'scope' loop
        perform ops.publish(target);
    end loop;
end $$;
