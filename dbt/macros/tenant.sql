{% macro tenant_policy() -%}
    {#- Row-level security that fails closed: an analyst without a tenant set sees nothing. Set once, as it locks. -#}
    do $policy$
    begin
        if not exists (
            select from pg_catalog.pg_policies
            where schemaname = '{{ this.schema }}' and tablename = '{{ this.identifier }}' and policyname = 'tenant'
        ) then
            alter table {{ this }} enable row level security;
            create policy tenant on {{ this }} for select to fleet_analyst
            using (tenant_id = (select current_setting('fleetflow.tenant', true)));
        end if;
    end $policy$
{%- endmacro %}

{% macro invoker_view() -%}
    {#- Without this a view would read with its owner's rights and pass by the policies beneath. -#}
    alter view {{ this }} set (security_invoker = true)
{%- endmacro %}

{% macro closed_to_tenants() -%}
    {#- Row-level security without a policy: only the owner and roles that bypass it read these. -#}
    do $closed$
    begin
        if not (select relrowsecurity from pg_catalog.pg_class where oid = '{{ this }}'::regclass) then
            alter table {{ this }} enable row level security;
        end if;
    end $closed$
{%- endmacro %}
