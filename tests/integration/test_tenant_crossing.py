"""No reader looks across tenants: every relation and function that a login can reach, tried in every way known.

What there is comes from the catalog, so a table, view or function that is added is tried with the rest. That the tries
can find anything is shown on leaks that are planted one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from planted_tenants import TENANTS, login, planted_warehouse
from tenant_attempts import (
    AS_ANOTHER_TENANT,
    FOREIGN,
    OWN,
    WITH_OWN_TENANT,
    WITHOUT_TENANT,
    Relation,
    call_everything,
    readable,
    switched_midway,
    try_all,
)

from fleetflow.runtime import connect
from fleetflow.settings import Settings

Session = psycopg.Connection[tuple[Any, ...]]

# Words that are the same for every tenant.
SHARED = {
    "marts.sla_target", "marts.sla_risk_window", "marts.service_task", "marts.exception_reason", "marts.edi_reason",
    "marts.delay_rate",
}  # fmt: skip
OWN_SETTING = f"set fleetflow.tenant = '{OWN}'"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with planted_warehouse(tmp_path_factory.mktemp("tenants")) as planted:
        with connect(planted.dsn("owner"), autocommit=True) as owner:
            owner.execute("select lo_from_bytea(0, 'rival-secret')")
        yield planted


@pytest.fixture(scope="module")
def logins(settings: Settings) -> Iterator[dict[str, str]]:
    """The address of each kind of reader: bound to a tenant, bound to none, shared, a partner with a vehicle."""
    with ExitStack() as stack:
        _, bound = stack.enter_context(login(settings, "fleet_analyst", tenant=OWN))
        _, unbound = stack.enter_context(login(settings, "fleet_analyst"))
        partner, garage = stack.enter_context(login(settings, "fleet_partner"))
        _, idle = stack.enter_context(login(settings, "fleet_partner"))
        _, officer = stack.enter_context(login(settings, "fleet_privacy", tenant=OWN))
        _, screen = stack.enter_context(login(settings, "fleet_live", tenant=OWN))
        with connect(settings.dsn("owner"), autocommit=True) as owner:
            owner.execute(
                "insert into ops.vehicle_grant (grantee, tenant_id, vehicle_id, expires_at, reason)"
                " values (%s, %s, %s, now() + interval '1 day', 'test')",
                (partner, OWN, f"{OWN}-secret"),
            )
        yield {
            "shared": settings.dsn("analyst"), "bound": bound, "unbound": unbound, "partner": garage, "idle": idle,
            "officer": officer, "screen": screen,
        }  # fmt: skip


def open_as(address: str) -> Session:
    return psycopg.connect(address, autocommit=True, prepare_threshold=None)


def reach(conn: Session) -> list[Relation]:
    return [relation for relation, _, _ in readable(conn) if relation.name not in SHARED]


READERS = ("shared", "bound", "unbound", "partner", "idle", "officer", "screen")
BOUND = ("bound", "unbound", "partner", "idle", "officer", "screen")


def test_each_reader_reaches_what_it_is_for(settings: Settings, logins: dict[str, str]) -> None:
    """The tries are about something: readers see their own rows, in every table."""
    with connect(settings.dsn("ops")) as conn:
        marts = {
            name
            for (name,) in conn.execute(
                "select 'marts.' || tablename from pg_tables where schemaname = 'marts'"
            )
        }
    for reader in ("shared", "bound"):
        with open_as(logins[reader]) as conn:
            tables = {relation.name for relation, _, kind in readable(conn) if kind == "r"} - SHARED
            assert marts - SHARED <= tables
            conn.execute(OWN_SETTING.encode())
            for table in sorted(tables):
                rows = conn.execute(f"select tenant_id from {table}".encode()).fetchall()
                assert rows == [(OWN,)], table
    with open_as(logins["partner"]) as conn:
        conn.execute(OWN_SETTING.encode())
        for relation in reach(conn):
            assert not [name for name in relation.columns if "driver" in name]
            if relation.name.startswith("marts.dim_"):
                rows = conn.execute(f"select vehicle_id from {relation.name}".encode()).fetchall()
                assert rows == [(f"{OWN}-secret",)]


@pytest.mark.parametrize("reader", READERS)
def test_row_security_binds_the_reader_wherever_there_are_tenants(
    logins: dict[str, str], reader: str
) -> None:
    with open_as(logins[reader]) as conn:
        loose = [
            relation.name
            for relation, is_bound, kind in readable(conn)
            if (kind in ("r", "p") and not is_bound and relation.name not in SHARED) or kind in ("m", "f")
        ]
    assert loose == []


@pytest.mark.parametrize("reader", READERS)
def test_without_a_tenant_there_is_nothing(logins: dict[str, str], reader: str) -> None:
    with open_as(logins[reader]) as conn:
        for relation in reach(conn):
            assert try_all(conn, relation, WITHOUT_TENANT, TENANTS) == []


@pytest.mark.parametrize("reader", ["shared", "bound", "partner", "officer", "screen"])
def test_with_ones_own_tenant_there_is_nobody_elses(logins: dict[str, str], reader: str) -> None:
    with open_as(logins[reader]) as conn:
        for relation in reach(conn):
            assert try_all(conn, relation, WITH_OWN_TENANT, (FOREIGN,), OWN_SETTING) == []


@pytest.mark.parametrize("reader", BOUND)
def test_a_bound_login_cannot_name_another_tenant(logins: dict[str, str], reader: str) -> None:
    with open_as(logins[reader]) as conn:
        for relation in reach(conn):
            assert (
                try_all(conn, relation, AS_ANOTHER_TENANT, (f"{FOREIGN}-secret", f"'{FOREIGN}'"), OWN_SETTING)
                == []
            )


@pytest.mark.parametrize("reader", ["unbound", "idle"])
def test_who_is_given_nothing_sees_nothing_under_any_name(logins: dict[str, str], reader: str) -> None:
    with open_as(logins[reader]) as conn:
        for relation in reach(conn):
            for tenant in TENANTS:
                first = f"set fleetflow.tenant = '{tenant}'"
                found = try_all(conn, relation, WITH_OWN_TENANT[:1], [f"{t}-secret" for t in TENANTS], first)
                assert found == []


@pytest.mark.parametrize("reader", BOUND)
def test_no_function_answers_for_another_tenant(logins: dict[str, str], reader: str) -> None:
    with open_as(logins[reader]) as conn:
        conn.execute(OWN_SETTING.encode())
        assert call_everything(conn) == []


@pytest.fixture
def split(settings: Settings) -> Iterator[dict[str, str]]:
    """Logins with rights in both tenants, and in neither to a row of one's own tenant."""
    with (
        ExitStack() as stack,
        connect(settings.dsn("owner"), autocommit=True) as owner,
    ):
        narrow, analyst = stack.enter_context(login(settings, "fleet_analyst", tenant=OWN))
        owner.execute(
            "insert into ops.analyst_tenant (login, tenant_id, reason) values (%s, %s, 'test')",
            (narrow, FOREIGN),
        )
        for level in ("region", "site", "vehicle"):
            owner.execute(
                "insert into ops.analyst_scope (login, tenant_id, level, value, reason)"
                " values (%s, %s, %s, 'elsewhere', 'test')",
                (narrow, OWN, level),
            )
        partner, garage = stack.enter_context(login(settings, "fleet_partner"))
        # Of the other tenant, the vehicle that has the name of one's own.
        for tenant, vehicle in ((OWN, "elsewhere"), (FOREIGN, f"{OWN}-secret")):
            owner.execute(
                "insert into ops.vehicle_grant (grantee, tenant_id, vehicle_id, expires_at, reason)"
                " values (%s, %s, %s, now() + interval '1 day', 'test')",
                (partner, tenant, vehicle),
            )
        yield {"analyst": analyst, "partner": garage}


@pytest.mark.parametrize("reader", ["analyst", "partner"])
def test_rights_in_one_tenant_open_nothing_in_another(split: dict[str, str], reader: str) -> None:
    """Nothing of one's own tenant is in scope: whatever shows of it was let in by rights in the other."""
    attempts = (*WITH_OWN_TENANT, switched_midway)
    with open_as(split[reader]) as conn:
        for relation in reach(conn):
            assert try_all(conn, relation, attempts, (f"{OWN}-secret",), OWN_SETTING) == []


LEAKS = {
    "a view with its owner's rights": (
        "create view marts.leak as select * from marts.fct_shipment",
        "grant select on marts.leak to fleet_analyst",
    ),
    "a materialized view": (
        "create materialized view marts.leak as select * from marts.fct_shipment",
        "grant select on marts.leak to fleet_analyst",
    ),
    "a table without row security": (
        "create table marts.leak as select * from marts.fct_shipment",
        "grant select on marts.leak to fleet_analyst",
    ),
    "a policy that is always true": (
        "create table marts.leak as select * from marts.fct_shipment",
        "alter table marts.leak enable row level security",
        "create policy tenant on marts.leak for select to fleet_analyst using (true)",
        "grant select on marts.leak to fleet_analyst",
    ),
    "a policy that trusts the setting": (
        "create table marts.leak as select * from marts.fct_shipment",
        "alter table marts.leak enable row level security",
        "create policy tenant on marts.leak for select to fleet_analyst"
        " using (tenant_id = current_setting('fleetflow.tenant', true))",
        "grant select on marts.leak to fleet_analyst",
    ),
    "a policy that opens where nothing is set": (
        "create table marts.leak as select * from marts.fct_shipment",
        "alter table marts.leak enable row level security",
        "create policy tenant on marts.leak for select to fleet_analyst"
        " using (coalesce(nullif(current_setting('fleetflow.tenant', true), ''), tenant_id) = tenant_id)",
        "grant select on marts.leak to fleet_analyst",
    ),
    "a right to write": ("grant insert, update on marts.fct_shipment to fleet_analyst",),
    "a right to refer": ("grant references on marts.fct_shipment to fleet_analyst",),
    "a function with its owner's rights": (
        "create function ops.leak(tenant text) returns setof text language sql stable security definer as"
        " $f$select s.shipment_id from marts.fct_shipment as s where s.tenant_id = tenant$f$",
        "grant execute on function ops.leak(text) to fleet_analyst",
    ),
    "a role that may be taken on": ("grant fleet_ops to fleet_analyst",),
    "a policy of leaky order": (
        "create function ops.leak(anything text) returns boolean language sql leakproof as $f$select true$f$",
        "create table marts.leak as select * from marts.fct_shipment",
        "alter table marts.leak enable row level security",
        "create policy tenant on marts.leak for select to fleet_analyst using (ops.leak(tenant_id))",
        "grant select on marts.leak to fleet_analyst",
        "grant execute on function ops.leak(text) to fleet_analyst",
    ),
}
_MEND = (
    "drop function if exists ops.leak(text) cascade",
    "do $$ declare k \"char\" := (select relkind from pg_class where oid = to_regclass('marts.leak')); begin"
    " if k is not null then execute format('drop %s marts.leak',"
    " case k when 'v' then 'view' when 'm' then 'materialized view' else 'table' end); end if; end $$",
    "revoke insert, update, references on marts.fct_shipment from fleet_analyst",
    "revoke fleet_ops from fleet_analyst",
)


@pytest.mark.parametrize("leak", LEAKS)
def test_the_tries_find_a_leak(settings: Settings, logins: dict[str, str], leak: str) -> None:
    with connect(settings.dsn("owner"), autocommit=True) as owner:
        for statement in LEAKS[leak]:
            owner.execute(statement.encode())
        try:
            with open_as(logins["bound"]) as conn:
                found = [
                    text
                    for relation in reach(conn)
                    if relation.name in ("marts.leak", "marts.fct_shipment")
                    for attempts, forbidden, first in (
                        (WITHOUT_TENANT, TENANTS, "select 1"),
                        (WITH_OWN_TENANT, (FOREIGN,), OWN_SETTING),
                        (AS_ANOTHER_TENANT, (f"{FOREIGN}-secret",), OWN_SETTING),
                    )
                    for text in try_all(conn, relation, attempts, forbidden, first)
                ]
                conn.execute(OWN_SETTING.encode())
                found += call_everything(conn)
        finally:
            for statement in _MEND:
                owner.execute(statement.encode())
    assert found, f"nobody noticed {leak}"
