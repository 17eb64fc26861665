"""An erased driver: nothing in the warehouse names her, every count and sum stays, and what comes again is masked."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import secrets
import threading
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec
import psycopg
import pytest
from psycopg import sql
from transform_warehouse import (
    NOW,
    assignment,
    driver,
    land,
    marts,
    mirror,
    order,
    site,
    status,
    transform,
    warehouse,
)
from typer.testing import CliRunner

from fleetflow import transform as pipeline
from fleetflow.bench.scratch import with_database
from fleetflow.commands.migrate import migrate
from fleetflow.faults import UserError
from fleetflow.local.stack import running
from fleetflow.privacy import erase_driver, list_erasures, rotate_key
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Secret, Settings
from fleetflow.vehicles.touched import Entity, name_drivers

ANNA, BERT = "drv-anna-7", "drv-bert-8"
_NAMED = """
    select n.nspname, c.relname, exists (
        select from pg_attribute as a where a.attrelid = c.oid and a.attname = 'tenant_id'
    )
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'm') and not c.relispartition
        and n.nspname not in ('pg_catalog', 'information_schema', 'public') and n.nspname not like 'pg_%'
    order by 1, 2
"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Two tenants, each with drivers of the same names, who stand wherever a driver can stand."""
    home = tmp_path_factory.mktemp("erased")
    with running(home, ("postgres",)) as stack, warehouse(stack) as fresh:
        with connect(fresh.dsn("owner"), autocommit=True) as conn:
            for tenant in ("acme", "rival"):
                _fill(conn, tenant)
        transform(fresh)
        yield fresh


@pytest.fixture
def settings(filled: Settings) -> Iterator[Settings]:
    """A copy of the filled warehouse, for one test."""
    name, template = f"copy_{secrets.token_hex(4)}", urlsplit(filled.dsn("owner")).path[1:]
    copied = {role: Secret(with_database(dsn.reveal(), name)) for role, dsn in filled.warehouse.items()}
    with connect(with_database(filled.dsn("owner"), "postgres"), autocommit=True) as conn:
        names = {"copy": sql.Identifier(name), "template": sql.Identifier(template)}
        conn.execute(sql.SQL("create database {copy} template {template}").format(**names))
        conn.execute(
            sql.SQL("alter database {copy} set fleetflow.as_of = '2026-03-10 12:00+00'").format(**names)
        )
        yield replace(filled, warehouse=copied)
        conn.execute(sql.SQL("drop database {copy} with (force)").format(**names))


def _fill(conn: Connection, tenant: str) -> None:
    dice = random.Random(tenant)
    mirror(conn, "sites", [site(1, tenant_id=tenant, site_id=f"{tenant}-x1")])
    people = [driver(n) | {"driver_id": f"{tenant}-{n}", "tenant_id": tenant} for n in (1, 2)]
    if tenant == "acme":
        people = [one | {"driver_id": name} for one, name in zip(people, (ANNA, BERT), strict=True)]
    mirror(conn, "drivers", people)
    for number, name in enumerate((ANNA, ANNA, BERT)):
        shipment = f"{tenant}-s{number}"
        mirror(conn, "shipments", [order(shipment, dice, tenant_id=tenant)])
        steps = ("created", "assigned", "picked_up", "exception", "delivered")
        events = [
            status(shipment, n, step, n * 10 - 300.0, tenant_id=tenant, driver_id=name, reason_code="traffic")
            for n, step in enumerate(steps)
        ]
        land(conn, "shipment_event", events)
        land(
            conn,
            "driver_assignment_event",
            [assignment(shipment, 1, "assigned", -90, tenant_id=tenant, driver_id=name)],
        )
    land(conn, "driver_activity", [_activity(tenant, ANNA, 1), _activity(tenant, BERT, 2)])
    conn.execute(
        "insert into ops.rejected (batch_id, feed, rule, detail, raw)"
        " select max(batch_id), 'shipment_event', 'out_of_range', %s, %s from ops.batch",
        (
            f"driver_id {ANNA!r} of {tenant}",
            json.dumps(
                {"tenant_id": tenant, "driver_id": ANNA, "note": "drv-anna and Zoë"}, ensure_ascii=False
            ).encode()
            + b"\x00\xff",
        ),
    )
    conn.execute(
        "insert into intermediate.fold_state (fold, tenant_id, entity_id, as_of, version, state)"
        " values ('hours', %(tenant)s, %(anna)s, now(), 1, 'x'), ('tracks', %(tenant)s, 'truck', now(), 1, %(state)s),"
        " ('tracks', %(tenant)s, 'van', now(), 1, %(packed)s)",
        {
            "tenant": tenant,
            "anna": ANNA,
            "state": f'{{"driver": "{ANNA}"}}'.encode(),
            "packed": zlib.compress(msgspec.msgpack.encode([7, [ANNA, BERT], b"\x00rows"])),
        },
    )


def _activity(tenant: str, name: str, number: int) -> dict[str, Any]:
    at = NOW - timedelta(hours=number)
    return {
        "tenant_id": tenant, "event_id": f"{tenant}-act-{name}-{number}", "recorded_at": at, "schema_version": 1,
        "driver_id": name, "activity": "driving", "started_at": at, "ended_at": NOW, "origin": "tachograph",
    }  # fmt: skip


def naming(conn: Connection, tenant: str, *words: str) -> dict[str, int]:
    """Count the rows of a tenant, in any table at all, in which one of the words stands, as text or as bytes."""
    found = {}
    for schema, table, has_tenant in conn.execute(_NAMED.encode()).fetchall():
        text = sql.SQL("t::text")
        terms = [
            sql.SQL("({0} ~ {1} or strpos({0}, {2}) > 0)").format(
                text, sql.Literal(rf"(?<![\w-]){word}(?![\w-])"), sql.Literal(word.encode().hex())
            )
            for word in words
        ]
        query = sql.SQL("select count(*) from {} as t where ({})").format(
            sql.Identifier(schema, table), sql.SQL(" or ").join(terms)
        )
        if has_tenant:
            query += sql.SQL(" and t.tenant_id = {}").format(sql.Literal(tenant))
        elif f"{schema}.{table}" == "ops.rejected":
            query += sql.SQL(" and strpos(convert_from(substr(t.raw, 1, 60), 'UTF8'), {}) > 0").format(
                sql.Literal(f'"{tenant}"')
            )
        row = conn.execute(query).fetchone()
        if row and row[0]:
            found[f"{schema}.{table}"] = row[0]
    return found


def key_of(conn: Connection, tenant: str, name: str) -> str:
    row = conn.execute("select ops.pseudonym(%s, %s)", (tenant, name)).fetchone()
    assert row is not None
    return str(row[0])


def rekeyed(
    tables: dict[str, list[tuple[Any, ...]]], changes: dict[str, str]
) -> dict[str, list[tuple[Any, ...]]]:
    """Return acme's rows with words replaced, in an order that does not depend on them."""
    return {
        name: sorted(
            (
                tuple(changes.get(value, value) if isinstance(value, str) else value for value in row)
                for row in rows
                if row[0] == "acme"
            ),
            key=repr,
        )
        for name, rows in tables.items()
        if name != "marts.dim_driver"
    }


def test_nothing_names_an_erased_driver_and_every_fact_stays(settings: Settings) -> None:
    with connect(settings.dsn("owner"), autocommit=True) as owner:
        old = key_of(owner, "acme", ANNA)
        rival = key_of(owner, "rival", ANNA)
        named = naming(owner, "acme", ANNA, old)
        assert {
            "landing.shipment_event", "landing.driver_assignment_event", "landing.driver_activity", "source.drivers",
            "source.drivers_history", "intermediate.int_shipment_status_history",
            "intermediate.int_shipment_assignment",
            "intermediate.int_driver_key", "intermediate.fold_state", "marts.fct_shipment", "marts.dim_driver",
            "marts.fct_delivery_exception", "ops.rejected", "vault.driver_identity",
        } <= set(named)  # fmt: skip
        others = naming(owner, "rival", ANNA, rival)
        before = marts(settings)

        tried = erase_driver(settings, "acme", ANNA, dry_run=True)
        assert naming(owner, "acme", ANNA, old) == named
        assert list_erasures(settings) == []

        done = erase_driver(settings, "acme", ANNA)

        assert naming(owner, "acme", ANNA, old) == {}
        assert naming(owner, "rival", ANNA, rival) == others
        assert dict(done.rows) == dict(tried.rows)
        assert done.token is not None
        assert done.driver_key is not None
        changes = {ANNA: done.token, old: done.driver_key}
        assert rekeyed(marts(settings), {}) == rekeyed(before, changes)
        person = owner.execute(
            "select licence_class, home_site_id, status, hired_year from marts.dim_driver where driver_key = %s",
            (done.driver_key,),
        ).fetchall()
        assert person == [(None, None, None, None)]
        (entry,) = list_erasures(settings)
        assert entry["completed_at"] is not None
        assert ANNA not in json.dumps(entry, default=str)
        log = owner.execute(
            "select action, tenant_id, subject from ops.access_log where action = 'erase driver'"
        )
        assert log.fetchall() == [("erase driver", "acme", done.token)]
        states = owner.execute(
            "select fold, entity_id, state from intermediate.fold_state where tenant_id = 'acme' order by entity_id"
        ).fetchall()
        assert [state[:2] for state in states] == [("hours", done.token), ("tracks", "van")]
        assert msgspec.msgpack.decode(zlib.decompress(states[1][2])) == [7, [done.token, BERT], b"\x00rows"]
        raw = owner.execute("select raw from ops.rejected order by reject_id limit 1").fetchone()
        assert raw is not None
        assert raw[0] == (
            json.dumps(
                {"tenant_id": "acme", "driver_id": done.token, "note": "drv-anna and Zoë"}, ensure_ascii=False
            ).encode()
            + b"\x00\xff"
        )


def test_what_comes_again_is_the_tombstone(settings: Settings) -> None:
    with connect(settings.dsn("owner"), autocommit=True) as owner:
        old = key_of(owner, "acme", ANNA)
        done = erase_driver(settings, "acme", ANNA)
        assert key_of(owner, "acme", ANNA) == done.driver_key
        assert key_of(owner, "acme", done.token or "") == done.driver_key
        assert key_of(owner, "acme", BERT) != done.driver_key

        with owner.transaction():
            land(
                owner,
                "shipment_event",
                [
                    status("acme-s9", 1, "created", -20, driver_id=ANNA),
                    status("acme-s9", 2, "assigned", -10, driver_id=BERT),
                ],
            )
        with owner.transaction():
            land(owner, "driver_assignment_event", [assignment("acme-s9", 1, "assigned", -5, driver_id=ANNA)])
        with owner.transaction():
            mirror(owner, "drivers", [driver(1) | {"driver_id": ANNA}])
        assert naming(owner, "acme", ANNA, old) == {}
        transform(settings)
        assert naming(owner, "acme", ANNA, old) == {}
        facts = owner.execute(
            "select driver_key from marts.fct_shipment where shipment_id = 'acme-s9'"
        ).fetchall()
        assert facts == [(key_of(owner, "acme", BERT),)]
        assert owner.execute(
            "select count(*) from source.drivers where driver_id = %s", (done.token,)
        ).fetchone() == (1,)

        # The folds read the lake, where the name still stands.
        with connect(settings.dsn("transformer"), autocommit=True) as folds:
            name_drivers(folds, [Entity("acme", ANNA), Entity("acme", BERT), Entity("rival", ANNA)])
            folds.execute("insert into intermediate.int_driver_touched values ('acme', %s, now())", (ANNA,))
        assert naming(owner, "acme", ANNA, old) == {}
        assert owner.execute(
            "select driver_id, driver_key from intermediate.int_driver_pseudonym where tenant_id = 'acme'"
            " order by 1 desc"
        ).fetchall() == [(done.token, done.driver_key), (BERT, key_of(owner, "acme", BERT))]

        built = marts(settings)
        transform(settings, full_refresh=True)
        assert marts(settings) == built
        assert naming(owner, "acme", ANNA, old) == {}


def test_who_lands_meanwhile_is_waited_for_and_masked(settings: Settings) -> None:
    with connect(settings.dsn("owner"), autocommit=True) as owner, connect(settings.dsn("owner")) as lander:
        land(lander, "shipment_event", [status("acme-late", 1, "created", -1, driver_id=ANNA)])
        erasing = threading.Thread(target=erase_driver, args=(settings, "acme", ANNA))
        erasing.start()
        waiting = "select count(*) from pg_locks where not granted and mode = 'ShareRowExclusiveLock'"
        while owner.execute(waiting).fetchone() == (0,):
            assert erasing.is_alive()
        lander.commit()
        erasing.join()
        assert naming(owner, "acme", ANNA) == {}
        assert owner.execute(
            "select count(*) from landing.shipment_event where shipment_id = 'acme-late'"
        ).fetchone() == (1,)


def test_an_erasure_that_was_cut_off_is_completed_by_the_next(settings: Settings) -> None:
    with connect(settings.dsn("owner"), autocommit=True) as owner:
        owner.execute("select vault.register_erasure('acme', %s)", (ANNA,))
        (begun,) = list_erasures(settings)
        assert begun["completed_at"] is None
        first = erase_driver(settings, "acme", ANNA)
        again = erase_driver(settings, "acme", ANNA)
        assert first.token == again.token == begun["token"]
        assert naming(owner, "acme", ANNA) == {}
        assert sum(again.rows.values()) == 0


def test_a_wrong_name_and_a_busy_pipeline_change_nothing(settings: Settings) -> None:
    with pytest.raises(UserError, match="nothing in the warehouse names driver 'nobody'"):
        erase_driver(settings, "acme", "nobody")
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        run = pipeline.claim(conn, "vehicles", even_if_empty=True)
        assert run is not None
        with pytest.raises(UserError, match="vehicles is held by another run"):
            erase_driver(settings, "acme", ANNA, busy_s=0)
        pipeline.fail(conn, run, "over")
    assert list_erasures(settings) == []
    with connect(settings.dsn("owner")) as owner:
        assert "marts.fct_shipment" in naming(owner, "acme", key_of(owner, "acme", ANNA))


def test_a_new_key_gives_new_pseudonyms_that_still_join(settings: Settings) -> None:
    done = erase_driver(settings, "acme", ANNA)
    renewed = replace(settings, pseudonym_key=Secret("n" * 32))
    with connect(settings.dsn("owner"), autocommit=True) as owner:
        before, old = marts(settings), {n: key_of(owner, "acme", n) for n in (ANNA, BERT)}
        with pytest.raises(UserError, match="at least 32"):
            rotate_key(replace(settings, pseudonym_key=Secret("short")))

        counts = rotate_key(renewed)

        assert counts["marts.fct_shipment"] > 0
        expected = hmac.new(b"n" * 32, f"acme\x1f{BERT}".encode(), hashlib.sha256).hexdigest()[:24]
        assert key_of(owner, "acme", BERT) == expected != old[BERT]
        assert key_of(owner, "acme", ANNA) == old[ANNA] == done.driver_key
        assert rekeyed(marts(settings), {}) == rekeyed(before, {old[BERT]: expected})
        strays = (
            "select count(*) from marts.fct_shipment as s where s.driver_key is not null and not exists"
            " (select from intermediate.int_driver_key as k where k.driver_key = s.driver_key)"
        )
        assert owner.execute(strays.encode()).fetchone() == (0,)
        keys = owner.execute(
            "select version, inner_pad is null, retired_at is null from vault.pseudonym_key order by 1"
        )
        assert keys.fetchall() == [(1, True, False), (2, False, True)]
        assert migrate(renewed)["pseudonym_key"] == "kept"
        with pytest.raises(UserError, match="rotate-key"):
            migrate(replace(settings, pseudonym_key=Secret("o" * 32)))
        with pytest.raises(UserError, match="key in use"):
            rotate_key(renewed)
        built = marts(settings)
        transform(settings, full_refresh=True)
        assert marts(settings) == built


def test_only_the_officer_resolves_a_pseudonym_and_every_try_is_logged(settings: Settings) -> None:
    with connect(settings.dsn("owner"), autocommit=True) as owner:
        key = key_of(owner, "acme", ANNA)
        owner.execute("create role officer login password 'o' in role fleet_privacy")
        owner.execute(
            "insert into ops.analyst_tenant (login, tenant_id, reason) values ('officer', 'acme', 'test')"
        )
        address = psycopg.conninfo.make_conninfo(settings.dsn("owner"), user="officer", password="o")
        ask = "select ops.resolve_driver(%s, %s, %s)"
        try:
            with connect(address, autocommit=True) as officer:
                assert officer.execute(ask, ("acme", key, "case 12")).fetchone() == (ANNA,)
                assert officer.execute(ask, ("acme", key, "")).fetchone() == (None,)
                assert officer.execute(
                    ask, ("rival", key_of(owner, "rival", ANNA), "case 12")
                ).fetchone() == (None,)
                for column in ("driver_id", "fingerprint"):
                    table = "driver_identity" if column == "driver_id" else "driver_erasure"
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        officer.execute(f"select {column} from vault.{table}".encode())
                done = erase_driver(settings, "acme", ANNA)
                assert officer.execute(ask, ("acme", done.driver_key, "case 12")).fetchone() == (None,)
            for role in ("analyst", "transformer", "ops", "loader"):
                with (
                    connect(settings.dsn(role), autocommit=True) as other,
                    pytest.raises(psycopg.errors.InsufficientPrivilege),
                ):
                    other.execute(ask, ("acme", key, "curious"))
        finally:
            owner.execute("drop owned by officer")
            owner.execute("drop role officer")
        log = owner.execute(
            "select login, tenant_id, allowed from ops.access_log where action = 'resolve driver' order by access_id"
        ).fetchall()
        assert log == [
            ("officer", "acme", True),
            ("officer", "acme", False),
            ("officer", "rival", False),
            ("officer", "acme", True),
        ]


def test_the_command_says_what_it_changed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from fleetflow.cli import app

    monkeypatch.setattr("fleetflow.settings.load_settings", lambda: settings)
    look = CliRunner().invoke(app, ["privacy", "erase-driver", "acme", ANNA, "--dry-run"])
    assert look.exit_code == 0, look.output
    assert "nothing was changed" in look.output
    done = CliRunner().invoke(app, ["privacy", "erase-driver", "acme", ANNA, "--json"])
    facts = json.loads(done.output)
    assert facts["rows"]["marts.fct_shipment"] == 2
    assert facts["total"] == sum(facts["rows"].values())
    listed = json.loads(CliRunner().invoke(app, ["privacy", "erasures", "--json"]).output)
    assert [(entry["tenant_id"], entry["token"]) for entry in listed] == [("acme", facts["token"])]
    assert ANNA not in done.output
