"""Messages of several frames on J1939: broadcasts, connections, gaps, silences, aborts, restarts, floods."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from ingestion.telemetry.decode import Decoded, Limits, decode_frames
from ingestion.telemetry.manifest import read_manifest
from tests.unit.telemetry.can_frames import counts, decoder, frame, frames_table, manifest, values

TRUCK = manifest(decoder("j1939"))
TWO_CODES = bytes.fromhex("44 FF B8 04 03 0A 6E 00 04 01")
"""DM1 with SPN 1208 FMI 3 and SPN 110 FMI 4."""
DM1_PGN, SILENT_US = 0xFECA, 751_000


def announce(
    control: int, size: int, source: int = 0, to: int = 255, pgn: int = DM1_PGN, **more: Any
) -> dict[str, Any]:
    payload = bytes([control, size & 0xFF, size >> 8, -(-size // 7) & 0xFF, 0xFF]) + pgn.to_bytes(3, "little")
    return frame(0x18EC0000 | to << 8 | source, payload, **more)


def packet(number: int, message: bytes, source: int = 0, to: int = 255, **more: Any) -> dict[str, Any]:
    part = message[7 * (number - 1) : 7 * number].ljust(7, b"\xff")
    return frame(0x18EB0000 | to << 8 | source, bytes([number]) + part, **more)


def reply(control: int, source: int, to: int, pgn: int = DM1_PGN, **more: Any) -> dict[str, Any]:
    return frame(
        0x18EC0000 | to << 8 | source, bytes([control, 2, 1, 255, 255]) + pgn.to_bytes(3, "little"), **more
    )


def decode(*frames: dict[str, Any], before: pa.Table | None = None, limits: Limits | None = None) -> Decoded:
    return decode_frames(frames_table(frames), TRUCK, before, limits)


def codes(decoded: Decoded) -> list[tuple[int, int]]:
    return sorted((row["source_address"], row["spn"]) for row in decoded.trouble_codes.to_pylist())


def reasons(decoded: Decoded) -> list[str]:
    return sorted(decoded.lost["reason"].to_pylist())


def broadcast(
    source: int = 0, at_us: int = 0, message: bytes = TWO_CODES, step_us: int = 50_000
) -> list[dict[str, Any]]:
    packets = -(-len(message) // 7)
    return [
        announce(32, len(message), source, at_us=at_us),
        *(packet(i, message, source, at_us=at_us + i * step_us) for i in range(1, packets + 1)),
    ]


def test_a_broadcast() -> None:
    decoded = decode(*broadcast())
    assert codes(decoded) == [(0, 110), (0, 1208)]
    assert values(decoded)["active_trouble_codes"] == [2]
    assert counts(decoded) == {"transport": 3}
    (at,) = set(decoded.trouble_codes["captured_at"].to_pylist())
    assert at.microsecond == 100_000  # of the last packet
    assert (decoded.lost.num_rows, decoded.open.num_rows, decoded.raw.num_rows) == (0, 0, 0)


def test_interleaved_broadcasts_in_any_order() -> None:
    frames = [*broadcast(0), *broadcast(0x27, at_us=10_000)]
    decoded = decode(*reversed(frames))
    assert codes(decoded) == [(0, 110), (0, 1208), (0x27, 110), (0x27, 1208)]


def test_vehicles_channels_and_tenants_are_apart() -> None:
    other = [one | {"vehicle_id": "v2"} for one in broadcast(at_us=1)]
    tenant = [one | {"tenant_id": "globex"} for one in broadcast(at_us=2)]
    decoded = decode(*broadcast(), *other, *tenant)
    assert decoded.trouble_codes.num_rows == 6
    lame = [one | {"channel": "can1"} for one in broadcast()[2:]]
    assert decode(*broadcast()[:2], *lame).trouble_codes.num_rows == 0


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([announce(32, 15), packet(1, bytes(15), at_us=1), packet(3, bytes(15), at_us=2)], "gap"),
        ([announce(32, 15), packet(2, bytes(15), at_us=1)], "gap"),
        ([announce(32, 15), packet(4, bytes(15), at_us=1)], "gap"),
        ([announce(32, 15), packet(1, bytes(15), at_us=1), packet(1, bytes(15), at_us=2)], "gap"),
        ([announce(32, 10), packet(1, TWO_CODES, at_us=SILENT_US)], "timeout"),
        ([announce(32, 10), frame(0x0CF00400, bytes(8), SILENT_US)], "timeout"),
        ([announce(32, 10), announce(32, 10, at_us=1)], "restarted"),
        ([announce(32, 10), announce(32, 10, at_us=SILENT_US)], "timeout"),
        ([announce(16, 10, to=3), reply(255, 3, 0, at_us=1)], "aborted"),
        ([announce(16, 10, to=3), reply(255, 0, 3, at_us=1)], "aborted"),
        ([announce(16, 10, to=3), packet(1, TWO_CODES, to=3, at_us=1), reply(19, 3, 0, at_us=2)], "gap"),
        (broadcast(message=bytes(9) + b"\x01"), None),
        ([announce(32, 10, pgn=0xFF55), *broadcast()[1:]], "unknown_pgn"),
        (broadcast(message=TWO_CODES + b"\x00"), "malformed"),
        (broadcast(message=TWO_CODES + b"\xff"), None),
    ],
)  # fmt: skip
def test_what_ends_a_message(frames: list[dict[str, Any]], reason: str | None) -> None:
    assert reasons(decode(*frames)) == ([reason] if reason else [])


def test_after_a_loss_the_next_message_is_whole() -> None:
    broken = [one for one in broadcast() if one["payload"][0] != 1]
    decoded = decode(*broken, *broadcast(at_us=500_000))
    assert (codes(decoded), reasons(decoded)) == ([(0, 110), (0, 1208)], ["gap"])


def test_a_connection_repeats_what_was_missed() -> None:
    """Packet 1 is lost on the way, the receiver asks again, and the answer comes after packet 2."""
    decoded = decode(
        announce(16, 10, 0, 3),
        reply(17, 3, 0, at_us=1_000),
        packet(2, TWO_CODES, 0, 3, at_us=2_000),
        reply(17, 3, 0, at_us=1_200_000),
        packet(1, TWO_CODES, 0, 3, at_us=2_400_000),
        reply(19, 3, 0, at_us=2_401_000),
    )
    assert (codes(decoded), reasons(decoded)) == ([(0, 110), (0, 1208)], [])


@pytest.mark.parametrize(
    "payload",
    [
        bytes([32, 8, 0, 2, 255, 0xCA, 0xFE, 0]),
        bytes([32, 10, 0, 3, 255, 0xCA, 0xFE, 0]),
        bytes([32, 0xFA, 6, 255, 255, 0xCA, 0xFE, 0]),
        bytes([16, 10, 0, 2, 255, 0xCA, 0xFE, 0]),
        bytes([99, 10, 0, 2, 255, 0xCA, 0xFE, 0]),
    ],
)
def test_an_announcement_that_cannot_be(payload: bytes) -> None:
    """8 bytes, a wrong number of packets, 1786 bytes, a connection with everybody, an unknown control byte."""
    decoded = decode(frame(0x18ECFF00, payload))
    assert (counts(decoded), decoded.open.num_rows) == ({"undecodable": 1}, 0)


def test_packets_without_a_beginning_are_kept_raw() -> None:
    decoded = decode(packet(1, TWO_CODES), frame(0x18EBFF00, bytes(7), 1))
    assert counts(decoded) == {"undecodable": 1, "wrong_length": 1}
    assert decoded.raw["reason"].to_pylist() == ["no_transfer", "wrong_length"]


def test_a_batch_may_end_within_a_message() -> None:
    open_table, found = None, []
    for one in broadcast(message=TWO_CODES + TWO_CODES[2:]):
        decoded = decode(one, before=open_table)
        open_table = decoded.open
        found.append((codes(decoded), open_table.num_rows))
    assert found == [([], 1), ([], 1), ([], 1), ([(0, 110), (0, 110), (0, 1208), (0, 1208)], 0)]


def test_an_open_message_of_an_absent_vehicle_is_kept() -> None:
    first = decode(*broadcast()[:2])
    assert first.open["received"].to_pylist() == [TWO_CODES[:7]]
    meanwhile = decode(frame(0x0CF00400, bytes(8), 10 * SILENT_US, vehicle="v2"), before=first.open)
    assert meanwhile.open.equals(first.open)
    assert codes(decode(broadcast()[2], before=meanwhile.open)) == [(0, 110), (0, 1208)]


def test_a_clock_that_jumps_loses_the_message() -> None:
    decoded = decode(announce(32, 10))
    back = decode(packet(1, TWO_CODES, at_us=-3_600_000_000), before=decoded.open)
    assert (reasons(back), counts(back)) == (["timeout"], {"undecodable": 1})


def test_a_flood_of_beginnings_stays_within_bounds() -> None:
    """One vehicle opens 250 messages of 1785 bytes and never goes on; others still have theirs."""
    flood = [announce(32, 1785, source=i, at_us=i) for i in range(250)]
    others = [one | {"vehicle_id": "v2"} for one in broadcast()[:2]]
    decoded = decode(*flood, *others, limits=Limits(open_per_vehicle=16, open_in_all=100))
    kept = decoded.open.to_pylist()
    assert sorted(row["source"] for row in kept if row["vehicle_id"] == "v1") == list(range(234, 250))
    assert [row["vehicle_id"] for row in kept].count("v2") == 1
    assert reasons(decoded) == ["evicted"] * 234
    assert decode(before=decoded.open, limits=Limits(open_per_vehicle=16, open_in_all=5)).open.num_rows == 5


def test_a_manufacturers_group_of_twenty_bytes() -> None:
    """PGN 65313 of the shipped truck: two loads, the third not available, pressures at bytes 11 and 19."""
    message = bytes.fromhex("03 40 1F 50 46 FF FF E0 93 04 00 C8" + "FF" * 7 + "FE")
    frames = [
        one | {"model": "haul_truck"}
        for one in [
            announce(32, 20, 0x21, pgn=0xFF21),
            *(packet(i, message, 0x21, at_us=i) for i in (1, 2, 3)),
        ]
    ]
    decoded = decode_frames(frames_table(frames), read_manifest())
    assert {name: one for name, (one,) in values(decoded).items()} == {
        "AxleReport.AxleCount": 3, "AxleReport.AxleLoad1": 4000, "AxleReport.AxleLoad2": 9000,
        "AxleReport.AxleLoad3": None, "AxleReport.TrailerMass": 150_000, "AxleReport.TyrePressure1": 800,
        "AxleReport.TyrePressure2": None,
    }  # fmt: skip
    short = [announce(32, 10, pgn=0xFF21), *broadcast(message=bytes(10))[1:]]
    lame = decode_frames(frames_table([one | {"model": "haul_truck"} for one in short]), read_manifest())
    assert reasons(lame) == ["too_short"]
