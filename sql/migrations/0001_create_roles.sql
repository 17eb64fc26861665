-- Roles and schemas. Roles carry no login here: the embedded stack, or the operator on AWS, gives each its password.
-- Least privilege: a loader appends, a transformer builds, an analyst reads marts of one tenant, operations reads all.
do $$
declare
    role_name text;
begin
    foreach role_name in array array[
        'fleet_owner', 'fleet_loader', 'fleet_transformer', 'fleet_ops', 'fleet_analyst', 'fleet_live'
    ] loop
        if not exists (select from pg_roles where rolname = role_name) then
            execute format('create role %I nologin', role_name);
        end if;
    end loop;
end $$;

-- These three see every tenant; whoever reads marts for people (analyst, live) never does.
alter role fleet_loader bypassrls;
alter role fleet_transformer bypassrls;
alter role fleet_ops bypassrls;

revoke create on schema public from public;

create schema source;
create schema landing;
create schema ops;
create schema vault;
create schema staging authorization fleet_transformer;
create schema intermediate authorization fleet_transformer;
create schema marts authorization fleet_transformer;
create schema reports authorization fleet_transformer;
create schema live authorization fleet_transformer;

-- dbt keeps its schemas by `create schema if not exists`, which asks for this right even where the schema is there.
do $$
begin
    execute format('grant create on database %I to fleet_transformer', current_database());
end $$;

grant usage on schema source, landing, ops to fleet_loader, fleet_transformer, fleet_ops;
grant usage on schema marts, reports to fleet_analyst, fleet_ops;
grant usage on schema ops to fleet_analyst;
grant usage on schema staging, intermediate to fleet_ops;
grant usage on schema live to fleet_live, fleet_ops;

alter default privileges for role fleet_transformer in schema marts, reports grant select on tables to fleet_analyst;
alter default privileges for role fleet_transformer in schema marts, reports, staging, intermediate, live
grant select on tables to fleet_ops;
alter default privileges for role fleet_transformer in schema live grant select on tables to fleet_live;
