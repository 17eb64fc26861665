"""What the migrations promise of protection, read from the catalog: every table, policy and function there is."""

from __future__ import annotations

import psycopg
import pytest

SCHEMAS = [
    "audit",
    "intermediate",
    "landing",
    "live",
    "marts",
    "ops",
    "reports",
    "source",
    "staging",
    "vault",
]


def names(dsn: str, query: str, *parameters: object) -> list[str]:
    with psycopg.connect(dsn) as conn:
        return [row[0] for row in conn.execute(query.encode(), parameters)]


def test_every_table_with_a_tenant_has_row_security(warehouse: str) -> None:
    query = """
        select c.oid::regclass::text from pg_class as c join pg_attribute as a on a.attrelid = c.oid
        where a.attname = 'tenant_id' and not a.attisdropped and c.relkind in ('r', 'p') and not c.relrowsecurity
            and c.relnamespace::regnamespace::text = any(%s)
    """
    assert names(warehouse, query, SCHEMAS) == []


def test_owning_alone_is_no_way_past_the_policies(warehouse: str) -> None:
    """Roles that log in and own tables pass by policies by an attribute that can be taken away, not by owning."""
    query = """
        select c.oid::regclass::text from pg_class as c join pg_attribute as a on a.attrelid = c.oid
        where a.attname = 'tenant_id' and not a.attisdropped and c.relkind in ('r', 'p') and not c.relforcerowsecurity
            and c.relowner::regrole::text in ('fleet_transformer', 'fleet_loader')
            and c.relnamespace::regnamespace::text = any(%s)
    """
    assert names(warehouse, query, SCHEMAS) == []


def test_what_readers_see_is_closed_to_its_owner_too(warehouse: str) -> None:
    """The audit belongs to whoever migrates: forced, where that role passes by its attribute."""
    query = """
        select c.oid::regclass::text from pg_class as c join pg_attribute as a on a.attrelid = c.oid
        where a.attname = 'tenant_id' and not a.attisdropped and c.relkind in ('r', 'p') and not c.relforcerowsecurity
            and c.relnamespace::regnamespace::text in ('audit', 'marts', 'reports', 'live')
    """
    assert names(warehouse, query) == []


def test_every_policy_asks_once_a_query_and_checks_what_is_written(warehouse: str) -> None:
    """`(select ...)` is looked up once; without it the setting is read for every row, and no index is used."""
    query = """
        select schemaname || '.' || tablename || '.' || policyname from pg_policies
        where cmd <> 'SELECT' and with_check is null
            or coalesce(qual, '') || coalesce(with_check, '') ~ '(?<!SELECT (NULLIF\\()?)current_setting\\('
    """
    assert names(warehouse, query) == []


@pytest.mark.parametrize("role", ["fleet_analyst", "fleet_live", "fleet_partner", "fleet_privacy"])
def test_readers_bypass_nothing_and_belong_to_nobody(warehouse: str, role: str) -> None:
    query = """
        select r.rolname::text from pg_roles as r
        where r.rolname = %s and (
            r.rolsuper or r.rolbypassrls or r.rolcreaterole or r.rolcreatedb or r.rolreplication
            or exists (select from pg_auth_members as m where m.member = r.oid)
        )
    """
    assert names(warehouse, query, role) == []


def test_definers_look_up_names_where_callers_cannot_put_any(warehouse: str) -> None:
    """Of a path that does not name pg_temp, it is the first part: a caller's table would stand before the owner's."""
    query = """
        select p.oid::regprocedure::text from pg_proc as p
        where p.prosecdef and p.pronamespace::regnamespace::text <> 'pg_catalog'
            and not coalesce(p.proconfig @> array['search_path=pg_catalog, pg_temp'], false)
    """
    assert names(warehouse, query) == []


def test_nobody_runs_what_was_not_given_to_them(warehouse: str) -> None:
    query = """
        select p.oid::regprocedure::text from pg_proc as p
        cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
        where a.grantee = 0 and p.pronamespace::regnamespace::text not in ('pg_catalog', 'information_schema')
    """
    assert names(warehouse, query) == []


READERS_MAY = {
    "fleet_analyst": {
        "as_of", "as_tenant", "may_see_tenant", "is_unscoped", "scope_regions", "scope_sites", "scope_vehicles",
        "scope_drivers", "closed_on", "closed_at", "places",
    },
    "fleet_live": {"as_of", "as_tenant", "may_see_tenant", "closed_on", "closed_at"},
    "fleet_partner": {"as_of", "as_tenant", "may_see_tenant", "granted_vehicles", "closed_on", "closed_at", "places"},
    "fleet_privacy": {"as_of", "as_tenant", "may_see_tenant", "resolve_driver"},
}  # fmt: skip


@pytest.mark.parametrize("role", READERS_MAY)
def test_what_a_reader_may_run_is_listed_here(warehouse: str, role: str) -> None:
    query = """
        select distinct p.proname::text from pg_proc as p
        where p.pronamespace::regnamespace::text not in ('pg_catalog', 'information_schema')
            and has_function_privilege(%s, p.oid, 'execute')
    """
    assert set(names(warehouse, query, role)) <= READERS_MAY[role]


def test_only_the_owner_reads_keys_and_names(warehouse: str) -> None:
    query = """
        select r.rolname || ' ' || c.relname || '.' || a.attname
        from pg_roles as r, pg_class as c join pg_attribute as a on a.attrelid = c.oid
        where r.rolname ~ '^fleet_' and not r.rolsuper and c.relnamespace = 'vault'::regnamespace and a.attnum > 0
            and c.relkind in ('r', 'v') and has_column_privilege(r.oid, c.oid, a.attnum, 'select')
            and (r.rolname <> 'fleet_privacy' or a.attname in ('driver_id', 'fingerprint', 'inner_pad', 'outer_pad'))
    """
    assert names(warehouse, query) == []


def test_the_log_of_access_is_only_added_to(warehouse: str) -> None:
    query = """
        select r.rolname || ' ' || p.name
        from pg_roles as r, unnest(array['insert', 'update', 'delete', 'truncate']) as p (name)
        where r.rolname ~ '^fleet_' and not r.rolsuper and has_table_privilege(r.oid, 'ops.access_log', p.name)
    """
    assert names(warehouse, query) == []
