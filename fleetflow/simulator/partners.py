"""Files of the three example partners, consistent with a simulated fleet, and the truth of what was sent.

`drop_files` writes them as partners do: under a temporary name, then renamed, companions after. Two waves: first
deliveries; then nordcard corrects its first file under the same name. Among them a new optional column, lines that
break a rule, a zip that is encrypted, and one file whose checksum is wrong. The same facts and seed give the same
lines; `<home>/sent/partners/<run>.json` says, file by file, what a load must come to.

Partner carriers report scans that lie between two steps which the shipment has lived through, so that its history
stays legal.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

from fleetflow.simulator.fleet import Fleet
from fleetflow.simulator.geo import Point
from fleetflow.simulator.plan import seeded
from fleetflow.simulator.vehicle_life.services import Visit
from fleetflow.simulator.vehicle_life.tank import Purchase

BERLIN, WARSAW = ZoneInfo("Europe/Berlin"), ZoneInfo("Europe/Warsaw")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FUEL, SERVICE, SHIPMENT = "fuel_purchase", "service_record", "shipment_event"
_PRODUCTS = ("Diesel", "Diesel", "Diesel", "B7", "HVO100", "AdBlue")
_CENTS = {"Diesel": 164, "B7": 166, "HVO100": 189, "AdBlue": 79}
_STATIONS = ("DE-HH-01", "DE-B-14", "DE-M-03", "AT-W-02", '"Autohof ""Süd""; Spur 2"')
_JOBS = ("PM  ", "INSP", "REP ", "TIRE", "BRK ", "OIL ")
_JOB_OF = {"maintenance": "PM", "inspection": "INSP", "oil": "OIL", "brakes": "BRK", "tyres": "TIRE"}
KM_PER_MILE = 1.609344
_CARDS_HEADER = (
    "Beleg-Nr;Kundennummer;Fahrzeug;Fahrer;Datum;Uhrzeit;Produkt;Menge (l);Betrag brutto;Währung;USt-Satz;"
    "Tankstelle;Land;Kilometerstand"
)
_SCANS_HEADER = "shipment|event|event_time|truck|lat|lon|reason|seq|sent_at"


@dataclass(frozen=True)
class Scan:
    """A moment (UTC, a whole minute) at which a shipment was on its way, between two steps of its life, and where."""

    shipment_id: str
    at: datetime
    lat: float
    lon: float


@dataclass(frozen=True)
class FleetFacts:
    """What partners know of a fleet at a moment: its vehicles, and shipments to scan.

    `vehicles`: each with a driver or none, and its tank in litres. `purchases` and `visits` are of the vehicles that
    live a whole life; what else is billed is drawn for `vehicles`.
    """

    tenant: str
    at: datetime
    vehicles: Sequence[tuple[str, str | None, int]]
    scans: Sequence[Scan]
    purchases: Sequence[Purchase] = ()
    visits: Sequence[Visit] = ()


@dataclass(frozen=True)
class SentFile:
    """One file that was sent, and what a load of it must come to.

    `valid` lines land, except `unchanged` ones, which an earlier file of the name held word for word; `superseded`
    of those that land correct an earlier one. A file that is `refused` lands nothing.
    """

    partner: str
    feed: str
    name: str
    wave: int
    lines: int
    invalid: int
    state: str = "loaded"
    unchanged: int = 0
    superseded: int = 0

    @property
    def valid(self) -> int:
        """Lines that break no rule."""
        return self.lines - self.invalid

    @property
    def landed(self) -> int:
        """Rows that the load adds to landing."""
        return self.valid - self.unchanged if self.state == "loaded" else 0


@dataclass(frozen=True)
class PartnerTruth:
    """All that partners sent in a run."""

    run: str
    files: tuple[SentFile, ...]

    def landed(self) -> dict[tuple[str, str], int]:
        """Rows that must have landed, by partner and feed."""
        sums: dict[tuple[str, str], int] = {}
        for file in self.files:
            sums[file.partner, file.feed] = sums.get((file.partner, file.feed), 0) + file.landed
        return sums

    def write(self, directory: Path) -> Path:
        """Replace `<directory>/<run>.json` in one step."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.run}.json"
        draft = path.with_suffix(".json.part")
        files = [{**asdict(file), "valid": file.valid, "landed": file.landed} for file in self.files]
        draft.write_text(json.dumps({"run": self.run, "files": files}, indent=2) + "\n")
        draft.replace(path)
        return path


@dataclass(frozen=True)
class Upload:
    """A file with its companions, by name, in the order of uploading; `sent` is what is true of it."""

    sent: SentFile
    content: bytes
    companions: Mapping[str, bytes]


def facts_of(fleet: Fleet) -> FleetFacts:
    """Take from a fleet what partners know of it; may be asked before, while and after it is streamed."""
    drivers = fleet.crew.drivers
    vehicles = [
        (
            vehicle.vehicle_id,
            drivers[vehicle.drivers[0]].driver_id if vehicle.drivers else None,
            vehicle.kind.tank_l,
        )
        for vehicle in fleet.crew.vehicles
        if vehicle.number not in fleet.lives.vehicle_numbers
    ]
    scans, lives = list(_scans(fleet)), fleet.lives
    return FleetFacts(fleet.plan.tenant, fleet.plan.start, vehicles, scans, lives.purchases, lives.visits)


def _scans(fleet: Fleet) -> Iterator[Scan]:
    """A minute after each start of a leg, where the next step came some minutes later and before the live part."""
    for shipment in fleet.shipments:
        if not shipment.carrier.partner:
            continue
        for (at_ms, status, _), (next_ms, _, _) in zip(shipment.steps, shipment.steps[1:], strict=False):
            if status == "in_transit" and next_ms - at_ms > 240_000 and next_ms < fleet.plan.start_ms:
                lat, lon = fleet.network.sites[shipment.origin].point
                yield Scan(shipment.shipment_id, EPOCH + timedelta(minutes=at_ms // 60_000 + 2), lat, lon)
                break


def drop_files(
    home: Path, facts: FleetFacts, seed: int, waves: Iterable[int] = (1, 2), said: PartnerTruth | None = None
) -> PartnerTruth:
    """Put the files of the waves into the accounts' roots below `<home>/sftp`; write and return the truth so far.

    The second wave is to follow when the first was loaded; `said` is the truth of the first.
    """
    run = f"{facts.at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{seed}"
    files = list(said.files) if said else []
    for upload in plan_files(facts, seed):
        if upload.sent.wave in set(waves):
            _put(home / "sftp", upload)
            files.append(upload.sent)
    truth = PartnerTruth(run, tuple(files))
    truth.write(home / "sent" / "partners")
    return truth


def plan_files(facts: FleetFacts, seed: int) -> list[Upload]:
    """Return what the partners send, without sending it; the same facts and seed give the same."""
    return [
        *_cards(facts, seeded("nordcard", seed)),
        *_fleet_cards(facts),
        *_jobs(facts, seeded("torque", seed)),
        *_fleet_jobs(facts, seeded("torque", "fleet", seed)),
        *_status(facts, seed),
    ]


def _put(base: Path, upload: Upload) -> None:
    box = base / "roots" / upload.sent.partner / "outbox"
    content, name = upload.content, upload.sent.name
    if name.endswith(".pgp"):
        content = _encrypted(content, base / "pgp" / f"{upload.sent.partner}.pub.asc")
    companions = dict(upload.companions)
    for path, data in companions.items():
        if path.startswith("manifest_"):  # it speaks of the bytes that are sent
            companions[path] = _manifest(name, content, data)
    for path, data in ((name, content), *companions.items()):
        part = box / f"{path}.part"
        part.write_bytes(data)
        os.rename(part, box / path)


def _encrypted(content: bytes, certificate: Path) -> bytes:
    from pysequoia import Cert, encrypt

    recipient = Cert.from_bytes(certificate.read_bytes())
    return bytes(encrypt(content, recipients=[recipient], armor=False))


def _manifest(name: str, content: bytes, rows: bytes) -> bytes:
    digest = hashlib.sha256(content).hexdigest()
    return f"file,bytes,sha256,rows\n{name},{len(content)},{digest},{rows.decode()}\n".encode()


# --- nordcard: fuel cards


def _cards(facts: FleetFacts, rng: Random) -> Iterator[Upload]:
    days = [(facts.at - timedelta(days=ago)).astimezone(BERLIN) for ago in (2, 1)]
    first, second = (
        [_purchase(facts, rng, day, f"NC-{day:%y%m%d}-{n:05}") for n in range(1, count + 1)]
        for day, count in zip(days, (400, 300), strict=True)
    )
    for line in (first[40], first[160], first[250], second[9]):
        line["Produkt"] = "Wasser"  # no fuel
    second[77]["Menge (l)"] = "50.000,00"  # more than any tank
    names = [f"tankdaten_{day:%Y%m%d}.csv" for day in days]
    yield _card_file(names[0], 1, first, invalid=3)
    bonus = [{**line, "Bonuspunkte": str(rng.randrange(500))} for line in second]
    yield _card_file(names[1], 1, bonus, invalid=2)
    corrected = [dict(line) for line in first]
    for n in (5, 55, 155, 255, 355):
        corrected[n]["Betrag brutto"] = _german(rng.uniform(40, 900))
    changed = sum(before != after for before, after in zip(first, corrected, strict=True))
    yield _card_file(names[0], 2, corrected, invalid=3, unchanged=397 - changed, superseded=changed)


def _purchase(facts: FleetFacts, rng: Random, day: datetime, number: str) -> dict[str, str]:
    vehicle, driver, tank_l = rng.choice(facts.vehicles)
    product, litres = rng.choice(_PRODUCTS), tank_l * rng.uniform(0.2, 0.9)
    station = rng.choice(_STATIONS)
    values = (
        number, "77", vehicle, driver or "-", f"{day:%d.%m.%Y}", f"{rng.randrange(5, 22):02}:{rng.randrange(60):02}",
        product, _german(litres), _german(litres * _CENTS[product] / 100), "EUR", "19", station,
        station[:2] if station[2] == "-" else "DE", f"{rng.randrange(2_000, 24_000):,}".replace(",", "."),
    )  # fmt: skip
    return dict(zip(_CARDS_HEADER.split(";"), values, strict=True))


def _fleet_cards(facts: FleetFacts) -> Iterator[Upload]:
    """The purchases of vehicles that live a whole life, with the stations' places."""
    if not facts.purchases:
        return
    lines = []
    for number, bought in enumerate(facts.purchases, 1):
        at = (EPOCH + timedelta(seconds=bought.at_s)).astimezone(BERLIN)
        station = f"{bought.country}-{_station_number(bought.place):04}"
        values = (
            f"NF-{facts.at:%y%m%d}-{number:05}", "77", bought.vehicle_id, bought.driver_id or "-", f"{at:%d.%m.%Y}",
            f"{at:%H:%M}", bought.product, _german(bought.litres),
            _german(bought.litres * _CENTS[bought.product] / 100), "EUR", "19", station, bought.country,
            f"{bought.odometer_km:,.0f}".replace(",", "."), *(f"{axis:.6f}".replace(".", ",") for axis in bought.place),
        )  # fmt: skip
        lines.append(dict(zip((*_CARDS_HEADER.split(";"), "Breite", "Länge"), values, strict=True)))
    yield _card_file(f"tankdaten_fuhrpark_{facts.at:%Y%m%d}.csv", 1, lines, invalid=0)


def _station_number(place: Point) -> int:
    """A number of four digits for a place, the same in every run."""
    return (round(place.lat * 1_000) * 7 + round(place.lon * 1_000)) % 10_000


def _card_file(
    name: str,
    wave: int,
    lines: list[dict[str, str]],
    *,
    invalid: int,
    unchanged: int = 0,
    superseded: int = 0,
) -> Upload:
    text = "\r\n".join(
        [";".join(lines[0]), *(";".join(line.values()) for line in lines), f"T;{len(lines)};", ""]
    )
    sent = SentFile("nordcard", FUEL, name, wave, len(lines), invalid, "loaded", unchanged, superseded)
    return Upload(sent, text.encode("cp1252"), {f"{name}.done": b""})


def _german(amount: float) -> str:
    return f"{amount:,.2f}".replace(",", " ").replace(".", ",").replace(" ", ".")


# --- torque: workshops


def _jobs(facts: FleetFacts, rng: Random) -> Iterator[Upload]:
    week = facts.at.date() - timedelta(days=facts.at.weekday() + 3)
    lines = [_job(facts, rng, week, n) for n in range(1, 121)]
    lines[30] = lines[30][:22] + "????" + lines[30][26:]  # no kind of job
    good, bad = f"jobs_{week:%Y%m%d}.txt", f"jobs_{week:%Y%m%d}_b.txt"
    for name, part, invalid, state in ((good, lines[:90], 1, "loaded"), (bad, lines[90:], 0, "refused")):
        content = "\n".join([f"TORQUE SERVICE EXTRACT {week:%F}", *part, ""]).encode("cp1252")
        digest = hashlib.sha256(content if state == "loaded" else content[:-1]).hexdigest()
        sent = SentFile("torque", SERVICE, name, 1, len(part), invalid, state)
        yield Upload(sent, content, {f"{name}.sha256": f"{digest}  {name}\n".encode()})


def _job(facts: FleetFacts, rng: Random, week: object, number: int) -> str:
    vehicle, _, _ = rng.choice(facts.vehicles)
    closed = facts.at.date() - timedelta(days=rng.randrange(2, 9))
    opened = closed - timedelta(days=rng.randrange(3))
    miles = f"{rng.uniform(1_500, 15_000):9.1f}" if rng.random() > 0.1 else "999999999"
    hours = f"{rng.uniform(100, 900):8.1f}" if rng.random() > 0.3 else "     N/A"
    remark = f"See JOB-{number}" if number % 9 == 0 else "Checked, parts replaced as needed"
    return (
        f"J{week:%y%m%d}{number:03}{vehicle:<12}{rng.choice(_JOBS)}{opened:%Y%m%d}{closed:%Y%m%d}{miles}{hours}"
        f"{rng.uniform(80, 4_000):10.2f}{rng.choice(('CHI01 ', 'DAL02 ', 'NYC07 '))}{remark}"
    )


def _fleet_jobs(facts: FleetFacts, rng: Random) -> Iterator[Upload]:
    """The visits of vehicles that live a whole life."""
    if not facts.visits:
        return
    week = facts.at.date() - timedelta(days=facts.at.weekday() + 3)
    lines = []
    for number, visit in enumerate(facts.visits, 1):
        closed = (EPOCH + timedelta(seconds=visit.done_s)).date()
        opened = closed - timedelta(days=rng.randrange(2))
        lines.append(
            f"F{week:%y%m%d}{number:03}{visit.vehicle_id:<12}{_JOB_OF[visit.service]:<4}{opened:%Y%m%d}{closed:%Y%m%d}"
            f"{visit.odometer_km / KM_PER_MILE:9.1f}{visit.engine_h:8.1f}{rng.uniform(80, 4_000):10.2f}CHI01 Done"
        )
    name = f"jobs_{week:%Y%m%d}_c.txt"
    content = "\n".join([f"TORQUE SERVICE EXTRACT {week:%F}", *lines, ""]).encode("cp1252")
    digest = hashlib.sha256(content).hexdigest()
    sent = SentFile("torque", SERVICE, name, 1, len(lines), 0)
    yield Upload(sent, content, {f"{name}.sha256": f"{digest}  {name}\n".encode()})


# --- swiftline: a partner carrier


def _status(facts: FleetFacts, seed: int) -> Iterator[Upload]:
    rng = seeded("swiftline", seed)
    chosen = sorted(rng.sample(list(facts.scans), min(240, len(facts.scans))), key=lambda scan: scan.at)
    half = (len(chosen) + 1) // 2
    for stamp, suffix, scans in (("00", ".zip", chosen[:half]), ("30", ".zip.pgp", chosen[half:])):
        stamp = f"{facts.at:%Y%m%dT%H}{stamp}"
        lines = [_scan_line(rng, scan, facts.at) for scan in scans]
        invalid = 1 if len(lines) >= 60 else 0
        if invalid:
            lines[7] = lines[7].replace("|DEP|", "|UFO|")
        sent = SentFile("swiftline", SHIPMENT, f"status_{stamp}{suffix}", 1, len(lines), invalid)
        yield Upload(
            sent, _zipped(f"status_{stamp}.csv", lines), {f"manifest_{stamp}.csv": str(len(lines)).encode()}
        )


def _scan_line(rng: Random, scan: Scan, sent_at: datetime) -> str:
    layout = "%Y-%m-%d %H:%M" if rng.random() < 0.8 else "%d/%m/%Y %H:%M"
    at = f"{scan.at.astimezone(WARSAW):{layout}}"
    place = "|" if rng.random() < 0.5 else f"{scan.lat:.4f}|{scan.lon:.4f}"
    truck = "N/A" if rng.random() < 0.3 else f"WX-{rng.randrange(10_000, 99_999)}"
    return f"{scan.shipment_id}|DEP|{at}|{truck}|{place}|00|1|{sent_at:%Y-%m-%dT%H:%M:%SZ}"


def _zipped(member: str, lines: list[str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo(member, (2026, 1, 1, 0, 0, 0))
        archive.writestr(info, "\n".join([_SCANS_HEADER, *lines, ""]), zipfile.ZIP_DEFLATED)
    return packed.getvalue()
