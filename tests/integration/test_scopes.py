"""Regions, sites, vehicles, expiry: what part of a tenant a login sees, and what a partner sees of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from planted_tenants import login, planted_warehouse

from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings

# Two regions; two sites in the north; a vehicle and a driver at each site; for each vehicle, site and region a fact.
_FLEET = """
truncate source.sites, source.vehicles, source.drivers, marts.dim_site, marts.dim_vehicle, marts.dim_driver,
    marts.fct_shipment;
insert into source.sites (site_id, tenant_id, region, _lsn, _committed_at, batch_id)
select s.site, t.tenant, s.region, '0/1', now(), 1
from (values ('n1', 'north'), ('n2', 'north'), ('s1', 'south')) as s (site, region), (values ('acme')) as t (tenant);
insert into source.vehicles (vehicle_id, tenant_id, home_site_id, _lsn, _committed_at, batch_id)
select 'v-' || s.site_id, s.tenant_id, s.site_id, '0/1', now(), 1 from source.sites as s;
insert into source.drivers (driver_id, tenant_id, home_site_id, _lsn, _committed_at, batch_id)
select 'd-' || s.site_id, s.tenant_id, s.site_id, '0/1', now(), 1 from source.sites as s;
insert into marts.dim_site (tenant_id, site_id, region) select s.tenant_id, s.site_id, s.region from source.sites as s;
insert into marts.dim_vehicle (tenant_id, vehicle_id, home_site_id)
select v.tenant_id, v.vehicle_id, v.home_site_id from source.vehicles as v;
create table marts.fct_driver_duty (tenant_id text, driver_key text, day integer);
alter table marts.fct_driver_duty owner to fleet_transformer;
insert into marts.fct_driver_duty
select d.tenant_id, ops.pseudonym(d.tenant_id, d.driver_id), 1 from source.drivers as d;
create table marts.fct_company (tenant_id text, total integer);
alter table marts.fct_company owner to fleet_transformer;
insert into marts.fct_company values ('acme', 3);
create table marts.fct_region (tenant_id text, region text);
alter table marts.fct_region owner to fleet_transformer;
insert into marts.fct_region values ('acme', 'north'), ('acme', 'south'), ('acme', 'unknown'), ('acme', null);
create table marts.fct_visit (tenant_id text, site_id text, vehicle_id text);
alter table marts.fct_visit owner to fleet_transformer;
insert into marts.fct_visit select s.tenant_id, s.site_id, v.vehicle_id from source.sites as s, source.vehicles as v;
select ops.publish(t) from unnest(array[
    'marts.fct_driver_duty', 'marts.fct_company', 'marts.fct_region', 'marts.fct_visit']::regclass []) as t;
"""
WHOLE = {
    "sites": {"n1", "n2", "s1"}, "vehicles": {"v-n1", "v-n2", "v-s1"}, "drivers": 3, "visits": 9, "company": 1,
    "regions": 4,
}  # fmt: skip
NOTHING: dict[str, Any] = {
    "sites": set(), "vehicles": set(), "drivers": 0, "visits": 0, "company": 0, "regions": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with planted_warehouse(tmp_path_factory.mktemp("scopes")) as planted:
        with connect(planted.dsn("owner"), autocommit=True) as owner:
            owner.execute(_FLEET.encode())
        yield planted


@pytest.fixture
def ops(settings: Settings) -> Iterator[Connection]:
    """Operations, who give and take."""
    with connect(settings.dsn("ops"), autocommit=True) as conn:
        yield conn


def seen(address: str) -> dict[str, Any]:
    """What a login sees of the fleet."""
    with psycopg.connect(address) as conn:
        conn.execute("set local fleetflow.tenant = 'acme'")

        def column(query: str) -> list[str]:
            return [row[0] for row in conn.execute(query.encode())]

        return {
            "sites": set(column("select site_id from marts.dim_site")),
            "vehicles": set(column("select vehicle_id from marts.dim_vehicle")),
            "drivers": len(column("select driver_key from marts.fct_driver_duty")),
            "visits": len(column("select site_id from marts.fct_visit")),
            "company": len(column("select total::text from marts.fct_company")),
            "regions": len(column("select region from marts.fct_region")),
        }


def scope(ops: Connection, name: str, level: str, value: str | None, until: str = "infinity") -> None:
    ops.execute(
        "insert into ops.analyst_scope (login, tenant_id, level, value, valid_from, valid_until, reason)"
        " values (%s, 'acme', %s, %s, now() - interval '2 days', %s, 'test')",
        (name, level, value, until),
    )


# A visit counts where either its site or its vehicle is in scope.
SCOPES = [
    (
        [("region", "north")],
        {"sites": {"n1", "n2"}, "vehicles": {"v-n1", "v-n2"}, "drivers": 2, "visits": 8, "regions": 1},
    ),
    ([("site", "n1")], {"sites": {"n1"}, "vehicles": {"v-n1"}, "drivers": 1, "visits": 5}),
    ([("vehicle", "v-n1")], {"vehicles": {"v-n1"}, "visits": 3}),
    (
        [("site", "n1"), ("vehicle", "v-s1")],
        {"sites": {"n1"}, "vehicles": {"v-n1", "v-s1"}, "drivers": 1, "visits": 7},
    ),
    ([("org", None)], WHOLE),
    ([("region", "nowhere")], {}),
]


@pytest.mark.parametrize(("rows", "expected"), SCOPES, ids=[str(rows) for rows, _ in SCOPES])
def test_a_scope_narrows_every_mart_that_says_where(
    settings: Settings, ops: Connection, rows: list[tuple[str, str | None]], expected: dict[str, Any]
) -> None:
    with login(settings, "fleet_analyst", tenant="acme") as (name, address):
        assert seen(address) == WHOLE
        for level, value in rows:
            scope(ops, name, level, value)
        assert seen(address) == NOTHING | expected


def test_expired_scopes_show_nothing_and_lifted_ones_all(settings: Settings, ops: Connection) -> None:
    with login(settings, "fleet_analyst", tenant="acme") as (name, address):
        scope(ops, name, "region", "north", "yesterday")
        assert seen(address) == NOTHING
        scope(ops, name, "org", None, "yesterday")
        assert seen(address) == NOTHING
        ops.execute("delete from ops.analyst_scope where login = %s", (name,))
        assert seen(address) == WHOLE
        log = ops.execute(
            "select action from ops.access_log where subject = %s and action like '%%analyst_scope' order by access_id",
            (name,),
        ).fetchall()
        assert [action for (action,) in log] == ["insert analyst_scope"] * 2 + ["delete analyst_scope"] * 2


def test_an_expired_binding_shows_nothing(settings: Settings, ops: Connection) -> None:
    with login(settings, "fleet_analyst", tenant="acme") as (name, address):
        ops.execute(
            "update ops.analyst_tenant set valid_until = valid_from + interval '1 us' where login = %s",
            (name,),
        )
        assert seen(address) == NOTHING


def test_what_expires_while_a_transaction_is_open_is_gone_in_it(settings: Settings, ops: Connection) -> None:
    with login(settings, "fleet_analyst", tenant="acme") as (name, address), psycopg.connect(address) as conn:
        conn.execute("set local fleetflow.tenant = 'acme'")
        count = "select count(*) from marts.dim_site"
        assert conn.execute(count).fetchone() == (3,)
        ops.execute("update ops.analyst_tenant set valid_until = clock_timestamp() where login = %s", (name,))
        assert conn.execute(count).fetchone() == (0,)


def test_a_partner_sees_named_vehicles_until_the_grant_expires(settings: Settings, ops: Connection) -> None:
    grant = (
        "insert into ops.vehicle_grant (grantee, tenant_id, vehicle_id, granted_at, expires_at, reason)"
        " values (%s, 'acme', %s, now() - interval '2 days', %s, 'repair')"
    )
    with (
        login(settings, "fleet_partner") as (name, address),
        psycopg.connect(address, autocommit=True) as conn,
    ):

        def vehicles() -> list[str]:
            return [
                row[0] for row in conn.execute("select vehicle_id from marts.fct_visit group by 1 order by 1")
            ]

        conn.execute("set fleetflow.tenant = 'acme'")
        assert vehicles() == []
        ops.execute(grant, (name, "v-n1", "tomorrow"))
        ops.execute(grant, (name, "v-s1", "yesterday"))
        assert vehicles() == ["v-n1"]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("select total from marts.fct_company")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("select driver_key from marts.fct_shipment")
        ops.execute(
            "update ops.vehicle_grant set expires_at = clock_timestamp() where grantee = %s and vehicle_id = 'v-n1'",
            (name,),
        )
        assert vehicles() == []
        ops.execute("delete from ops.vehicle_grant where grantee = %s", (name,))


def test_opening_a_tenant_is_logged_and_lasts_for_the_transaction(
    settings: Settings, ops: Connection
) -> None:
    with login(settings, "fleet_analyst", tenant="acme") as (name, address), psycopg.connect(address) as conn:
        sites = "select count(*) from marts.dim_site"
        assert conn.execute("select ops.as_tenant('acme')").fetchone() == (True,)
        assert conn.execute(sites).fetchone() == (3,)
        conn.commit()
        assert conn.execute(sites).fetchone() == (0,)
        assert conn.execute("select ops.as_tenant('rival')").fetchone() == (False,)
        assert conn.execute(sites).fetchone() == (0,)
        conn.commit()
        assert conn.execute("select ops.as_tenant(null)").fetchone() == (False,)
        conn.rollback()
        log = ops.execute(
            "select tenant_id, allowed from ops.access_log where login = %s and action = 'open tenant'"
            " order by access_id",
            (name,),
        ).fetchall()
        assert log == [("acme", True), ("rival", False)]


def test_scopes_are_looked_up_once_a_query(settings: Settings) -> None:
    """Never per row: what policies ask is an init plan or a hashed subplan, and the tenant's index is used."""
    with connect(settings.dsn("owner"), autocommit=True) as owner:
        owner.execute("create index if not exists visit_place on marts.fct_visit (tenant_id, vehicle_id)")
    with login(settings, "fleet_analyst", tenant="acme") as (name, address), psycopg.connect(address) as conn:
        with connect(settings.dsn("ops"), autocommit=True) as ops:
            scope(ops, name, "region", "north")
        conn.execute("set local fleetflow.tenant = 'acme'")
        conn.execute("set local enable_seqscan = off")
        plan = "\n".join(
            row[0]
            for row in conn.execute(
                "explain (analyze, timing off, summary off) select * from marts.fct_visit"
            )
        )
        assert "Index Cond: (tenant_id = (InitPlan" in plan
        lookups = [line for line in plan.splitlines() if "Function Scan" in line or "Result" in line]
        assert lookups
        assert all("loops=1" in line or "never executed" in line for line in lookups), plan
        assert len(set(re.findall(r"hashed SubPlan \d+", plan))) == 2
