"""Every kind of bad file, through a whole load: each gets a clear state and is kept, and the sound ones land."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from partner_stack import CARDS, HEADER, Partner, lines, partner_stack, text
from pysequoia import Cert, encrypt

from fleetflow.partners import read_partner
from fleetflow.runtime import client
from fleetflow.settings import Settings
from ingestion.landing.ledger import Ledger
from ingestion.landing.raw_object import put_object
from ingestion.partners.archive import Archive
from ingestion.partners.fetch.remote import Patience, Remote
from ingestion.partners.load import LoadTools, load_partner
from tests.integration.partner_server import lying_server

SOUND = text(lines(20, 900))
LOADED, HELD, REFUSED = "loaded", "held", "refused"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with partner_stack(tmp_path_factory.mktemp("bad") / "home") as found:
        yield found


def packed(name: str, content: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return target.getvalue()


def bomb() -> bytes:
    return gzip.compress(HEADER.encode() + (b"\n" + b"0" * 999) * (64 << 10), compresslevel=1)


def long_line() -> bytes:
    return text([*lines(3), "x" * (8 << 20), *lines(3, 10)])


def row(start: int, **fields: str) -> str:
    """A line of the card with some of its fields replaced, by their place."""
    cells = lines(1, start)[0].split(";")
    for place, value in fields.items():
        cells[int(place[1:])] = value
    return ";".join(cells)


ZIPPED = packed("fuel.csv", SOUND)
# (content, state, cause, part of the reason, accepted): what a load makes of it.
Verdict = tuple[bytes, str, str | None, str, int | None]
FILES: dict[str, Verdict] = {
    "fuel_sound.csv": (SOUND, LOADED, None, "", 20),
    "fuel_truncated.csv.gz": (gzip.compress(SOUND)[:-30], REFUSED, "truncated", "", None),
    "fuel_truncated.zip": (ZIPPED[:-40], REFUSED, "damaged", "", None),
    "fuel_half_a_quote.csv": (text(lines(5)) + b'T77;"V1;2026', REFUSED, "truncated", "quote", None),
    "fuel_empty.csv": (b"", REFUSED, "empty", "empty", None),
    "fuel_bom.csv": (b"\xef\xbb\xbf" + text(lines(5, 100)), LOADED, None, "", 5),
    "fuel_crlf.csv": (text(lines(5, 200)).replace(b"\n", b"\r\n"), LOADED, None, "", 5),
    "fuel_encoding.csv": (
        text([row(300, f1="Köln-1")]).decode().encode("cp1252"), HELD, "encoding", "line 2 is not utf-8", None,
    ),
    "fuel_utf16.csv": (text(lines(5)).decode().encode("utf-16"), HELD, "encoding", "utf-16", None),
    "fuel_two_headers.csv": (
        text(lines(5), HEADER.replace("Currency", "Litres")), REFUSED, "duplicate_header", "Litres", None,
    ),
    "fuel_newlines.csv": (text([row(400, f1='"V\n1"'), *lines(2, 401)]), LOADED, None, "", 3),
    "fuel_formula.csv": (text([row(500, f1="=HYPERLINK(1)"), *lines(2, 501)]), LOADED, None, "", 3),
    "fuel_long_line.csv": (long_line(), REFUSED, "long_line", "max_line_bytes", None),
    "fuel_bomb.csv.gz": (bomb(), REFUSED, "bomb", "", None),
    # The name inside leads nowhere: nothing is ever written under it.
    "fuel_climbs.zip": (packed("../../etc/fuel.csv", SOUND), LOADED, None, "", 20),
    "fuel_less.csv": (
        text(lines(5), HEADER.replace("Transaction", "Number")), HELD, "missing_column", "Transaction", None,
    ),
    "fuel_rejects.csv": (text([row(n, f4="much") for n in range(600, 610)]), HELD, "rejected_share", "%", None),
    "fuel_shifted.csv": (
        text([f"X;{line}" for line in lines(10, 700)]), HELD, "rejected_share", "", None,
    ),
    "fuel_unknown.bin": (bytes(range(256)) * 20, HELD, "encoding", "", None),
}  # fmt: skip


def test_every_bad_file_gets_a_clear_state_and_is_kept(settings: Settings) -> None:
    partner = Partner(settings, more="limits: {max_ratio: 100, max_line_bytes: 1 MiB}")
    partner.drop("fuel_first.csv", text(lines(10, 1000)))
    partner.load()
    for minutes, (name, (content, *_)) in enumerate(FILES.items()):
        partner.drop(name, content, minutes + 1)
    outcomes = partner.load()
    found = {
        name: (one.state, one.file.cause, one.file.reason or "", one.file.accepted)
        for name, one in outcomes.items()
    }
    wrong = {
        name: found[name]
        for name, (_, state, cause, words, accepted) in FILES.items()
        if found[name][:2] != (state, cause) or words not in found[name][2] or found[name][3] != accepted
    }
    assert wrong == {}
    for name, (content, *_) in FILES.items():
        assert partner.archived(name) == content, name
    landed = partner.sql(
        "select count(*) from landing.fuel_purchase where partner = %s", partner.name,
    )  # fmt: skip
    assert landed == [(10 + sum(accepted or 0 for *_, accepted in FILES.values()),)]
    assert partner.sql(
        "select vehicle_id from landing.fuel_purchase where partner = %s and transaction_id in ('T0000400', 'T0000500')"
        " order by transaction_id", partner.name,
    ) == [("V\n1",), ("=HYPERLINK(1)",)]  # fmt: skip
    assert partner.load() == {}, "what was decided is not looked at again"


def test_a_held_file_goes_on_when_it_is_approved(settings: Settings) -> None:
    partner = Partner(settings, after_load="delete")
    partner.drop("fuel_1.csv", text(lines(10)))
    partner.load()
    bad = [row(n, f4="much") for n in range(600, 606)]
    partner.drop("fuel_2.csv", text([*bad, *lines(4, 610)]), 5)
    held = partner.load()["fuel_2.csv"].file
    assert (held.state, held.lines, held.rejected) == (HELD, 10, 6)
    partner.directory.joinpath("fuel_2.csv").unlink()
    decide(settings, "approve", held.file_id)
    again = partner.load()["fuel_2.csv"].file
    assert (again.state, again.lines, again.accepted, again.rejected) == (LOADED, 10, 4, 6)
    assert again.approved_by == "somebody"


def test_a_held_file_goes_on_when_the_declaration_follows(settings: Settings) -> None:
    partner = Partner(settings)
    partner.drop("fuel_1.csv", text(lines(10), HEADER.replace("Transaction", "Number")))
    held = partner.load()["fuel_1.csv"].file
    assert (held.state, held.cause) == (HELD, "missing_column")
    decide(settings, "approve", held.file_id)
    assert partner.load()["fuel_1.csv"].state == HELD, "approving does not help: the column is still missing"
    partner.declare(("source: Transaction}", "source: Transaction, synonyms: [Number]}"))
    decide(settings, "approve", held.file_id)
    assert partner.load()["fuel_1.csv"].file.accepted == 10


def test_an_older_version_is_not_taken_over_a_newer(settings: Settings) -> None:
    partner = Partner(settings)
    partner.drop("fuel_1.csv", text([row(n, f4="much") for n in range(10)]))
    held = partner.load()["fuel_1.csv"].file
    assert held.state == HELD
    partner.drop("fuel_1.csv", text(lines(10)), 60)
    assert partner.load()["fuel_1.csv"].state == LOADED
    with pytest.raises(Exception, match="was followed by file"):
        decide(settings, "approve", held.file_id)


def decide(settings: Settings, what: str, file_id: int) -> None:
    from fleetflow import partner_load

    with psycopg.connect(settings.dsn("ops"), autocommit=True) as conn:
        if what == "approve":
            partner_load.approve(conn, file_id, "somebody", datetime.now(UTC))
        else:
            partner_load.retry(conn, file_id)


def test_a_checksum_that_is_wrong_refuses_and_a_right_one_later_loads(settings: Settings) -> None:
    partner = Partner(settings, completeness='{checksum: "{name}.sha256"}')
    partner.drop("fuel_1.csv", SOUND)
    partner.drop("fuel_1.csv.sha256", b"0" * 64, 1)
    refused = partner.load()["fuel_1.csv"].file
    assert (refused.state, refused.cause) == (REFUSED, "checksum")
    assert hashlib.sha256(SOUND).hexdigest() in (refused.reason or "")
    assert partner.archived("fuel_1.csv") == SOUND
    partner.drop("fuel_1.csv", SOUND, 60)
    partner.drop("fuel_1.csv.sha256", hashlib.sha256(SOUND).hexdigest().encode(), 61)
    assert partner.load()["fuel_1.csv"].file.accepted == 20


def test_a_trailer_that_does_not_match_refuses(settings: Settings) -> None:
    trailer = 'format: {kind: csv, delimiter: ";", trailer: "^END;(?P<count>[0-9]+)$"}'
    declaration = CARDS.replace(
        'format: {{kind: csv, delimiter: ";"}}', trailer.replace("{", "{{").replace("}", "}}")
    )
    partner = Partner(settings, declaration=declaration)
    partner.drop("fuel_right.csv", text([*lines(5), "END;5"]))
    partner.drop("fuel_wrong.csv", text([*lines(5, 50), "END;6"]))
    partner.drop("fuel_cut.csv", text(lines(5, 60)))
    outcomes = partner.load()
    found = {name: (one.state, one.file.cause) for name, one in outcomes.items()}
    assert found == {
        "fuel_right.csv": (LOADED, None), "fuel_wrong.csv": (REFUSED, "trailer"), "fuel_cut.csv": (REFUSED, "truncated")
    }  # fmt: skip


def test_a_file_for_another_key_is_refused_until_the_key_is_mended(
    settings: Settings, tmp_path: Path
) -> None:
    ours, theirs = (Cert.generate(f"{name} <{name}@example.org>") for name in ("ours", "theirs"))
    partner = Partner(settings, more="pgp: {key: fleet}")
    partner.drop("fuel_1.csv.pgp", encrypt(SOUND, recipients=[ours]))
    keyed = with_key(settings, theirs, tmp_path)
    assert load_as(keyed, partner)["fuel_1.csv.pgp"] == (REFUSED, "wrong_key")
    [(file_id,)] = partner.sql("select file_id from ops.partner_file where partner = %s", partner.name)
    decide(settings, "retry", file_id)
    assert load_as(with_key(settings, ours, tmp_path), partner)["fuel_1.csv.pgp"] == (LOADED, None)


def with_key(settings: Settings, key: Cert, directory: Path) -> Settings:
    path = directory / f"{key.fingerprint}.pgp"
    secret = key.secrets
    assert secret is not None
    path.write_bytes(bytes(secret))
    return replace(settings, environment={**settings.environment, "FLEETFLOW_PGP_FLEET": str(path)})


def load_as(settings: Settings, partner: Partner) -> dict[str, tuple[str, str | None]]:
    from fleetflow.partner_load import load

    outcomes = load(settings, read_partner(settings, partner.name))
    return {one.name: (str(one.state), one.file.cause) for one in outcomes}


def test_a_name_that_climbs_is_never_fetched(settings: Settings, tmp_path: Path) -> None:
    partner = Partner(settings)
    names = [b"fuel_\xff.csv", b"../fuel_1.csv", b"fuel_\n.csv"]
    with lying_server(names, tmp_path) as address:
        remote = Remote(address, ".", Patience(tries=1))
        outcomes = load_over(settings, partner, lambda: remote)
    assert {one.state for one in outcomes} == {REFUSED}
    assert {one.file.cause for one in outcomes} == {"bad_name"}
    assert len(outcomes) == len(names)
    assert all(one.file.archive_key is None for one in outcomes)


def load_over(settings: Settings, partner: Partner, connect: Callable[[], Any]) -> list[Any]:
    s3, dsn = client(settings, "s3"), settings.dsn("loader")
    with psycopg.connect(dsn, autocommit=True) as conn, closing(Ledger(dsn)) as ledger:
        tools = LoadTools(
            connect=connect, ledger=ledger, conn=conn, archive=Archive(s3, settings.raw_bucket),
            put_object=lambda key, body: put_object(s3, settings.raw_bucket, key, body),
            scratch=settings.home / "scratch", worker="test", clock=lambda: datetime.now(UTC),
        )  # fmt: skip
        return load_partner(read_partner(settings, partner.name), tools)
