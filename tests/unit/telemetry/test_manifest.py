"""The manifest and its databases: what is refused, in words, and what several decoders at once mean."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ingestion.telemetry.decode import decode_frames
from ingestion.telemetry.manifest import (
    SHIPPED,
    Manifest,
    ManifestError,
    UnknownModel,
    read_manifest,
    read_usable,
)
from ingestion.telemetry.standard import NAME_BY_SPN, PARAMETERS, UNITS
from tests.unit.telemetry.can_frames import counts, frame, frames_table, values

SPEED = ' SG_ Speed : 0|16@1+ (0.1,0) [0|0] "km/h" X'
HEAD = 'VERSION "1"\n\nNS_ :\n\nBS_:\n\nBU_: X\n\n'


def database(*lines: str) -> str:
    return HEAD + "\n".join(lines) + "\n"


PLAIN = database("BO_ 16 Motion: 8 X", SPEED)


def written(directory: Path, entries: str, content: str = PLAIN) -> Path:
    """A manifest beside one database, `{sha}` being its hash."""
    (directory / "a.dbc").write_bytes(content.encode())
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    path = directory / "manifest.yaml"
    path.write_text("version: 1\ndecoders:\n" + entries.replace("{sha}", sha256))
    return path


def entry(**changes: str) -> str:
    known = {
        "name": "a", "version": "1", "models": "[m]", "channels": "[can0]", "protocol": "can",
        "database": "a.dbc", "sha256": "{sha}",
    } | changes  # fmt: skip
    return "  - {" + ", ".join(f"{key}: {value}" for key, value in known.items() if value) + "}\n"


def faults(directory: Path, entries: str, content: str = PLAIN) -> str:
    with pytest.raises(ManifestError) as caught:
        read_manifest(written(directory, entries, content))
    return str(caught.value)


def test_the_shipped_manifest() -> None:
    manifest = read_manifest()
    assert [one.label for one in manifest.decoders] == [
        "city_van@2",
        "obd@1",
        "haul_truck@1",
        "j1939_standard@1",
    ]
    names = {
        field.name
        for one in manifest.decoders
        for part in one.compiled
        for field in part.message.layout.every()
    }
    assert {"vehicle_speed", "engine_speed", "odometer", "fuel_level"} <= names
    assert SHIPPED.with_name("city_van.dbc").is_file()


def test_every_standard_parameter_has_a_unit() -> None:
    assert {one.name for one in PARAMETERS} <= set(UNITS)
    assert NAME_BY_SPN[84] == "vehicle_speed"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sha256": "f" * 64}, f"{'f' * 64} is stated: it is not the file that the manifest means"),
        ({"sha256": ""}, "none is stated"),
        ({"database": "b.dbc"}, "b.dbc cannot be read: No such file"),
        ({"database": "../a.dbc"}, "must lie beside the manifest"),
        ({"database": "/etc/passwd"}, "must lie beside the manifest"),
        ({"database": ""}, "raw CAN means nothing without one"),
        ({"protocol": "lin"}, "'lin' is none of can, j1939, obd"),
        ({"protocol": "obd"}, "OBD-II needs none"),
        ({"protocol": "j1939"}, "has an 11-bit id; J1939 has 29 bits (another bus's database?)"),
        ({"models": ""}, "models: at least one is wanted"),
        ({"years": "{from: 2024, to: 2020}"}, "2024 is after 2020"),
        ({"spn_conversion": "1"}, "1, 2 or 3 is wanted, of a j1939 decoder"),
        ({"chanels": "[can1]"}, "chanels: is no key; channels is meant?"),
        ({"signals": "{Spead: vehicle_speed}"}, "no signal is called 'Spead'"),
        ({"signals": "{Speed: odometer}"}, "Motion.Speed is in km/h, odometer in km"),
    ],
)
def test_faults_of_an_entry(tmp_path: Path, changes: dict[str, str], words: str) -> None:
    assert words in faults(tmp_path, entry(**changes))


def test_every_fault_is_in_one_message(tmp_path: Path) -> None:
    found = faults(tmp_path, entry(protocol="lin", models="", sha256="x")).splitlines()
    assert len(found) == 3
    assert all(line.startswith("manifest.yaml: decoders[0]") for line in found)


@pytest.mark.parametrize(
    "text", ["", "- 1", "decoders: 5", "version: 1", "{", "decoders: [1]", "decoders: []"]
)
def test_no_manifest_at_all(tmp_path: Path, text: str) -> None:
    path = tmp_path / "manifest.yaml"
    path.write_text(text)
    with pytest.raises(ManifestError, match=r"manifest\.yaml: "):
        read_manifest(path)
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path / "nothing.yaml")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("garbage \x00\x01 BO_", "is no DBC that can be used"),
        ("", "is no DBC that can be used"),
        ("BO_ " * 10_000, "is no DBC that can be used"),
        (HEAD, "defines no message"),
        (database("BO_ 16 A: 8 X", SPEED, "", "BO_ 16 B: 8 X", SPEED), "id 0x10 is both A and B"),
        (database("BO_ 16 A: 8 X", SPEED, SPEED.replace("Speed", "Other")), "overlapping"),
        (database("BO_ 16 A: 1 X", SPEED), "does not fit"),
        (database("BO_ 5000 A: 8 X", SPEED), "more than 11 bits"),
        (
            database("BO_ 16 A: 8 X", SPEED.replace("0|16", "0|24"), "", "SIG_VALTYPE_ 16 Speed : 1;"),
            "floating point number of 24 bits",
        ),
    ],
)
def test_databases_that_cannot_be_used(tmp_path: Path, content: str, words: str) -> None:
    assert words in faults(tmp_path, entry(), content)


def test_a_huge_database_is_not_even_parsed(tmp_path: Path) -> None:
    assert "more than 8,388,608" in faults(tmp_path, entry(), " " * ((8 << 20) + 1))


def test_one_group_twice_from_one_source(tmp_path: Path) -> None:
    identifier = (0x18FF2100 | 1 << 31, 0x0CFF2100 | 1 << 31)
    twice = database(f"BO_ {identifier[0]} A: 8 X", SPEED, "", f"BO_ {identifier[1]} B: 8 X", SPEED)
    assert "A and B are both parameter group 65313 from address 0" in faults(
        tmp_path, entry(protocol="j1939"), twice
    )


def test_two_decoders_of_one_id(tmp_path: Path) -> None:
    found = faults(tmp_path, entry() + entry(name="b"))
    assert "a@1 and b@1 both read id 0x10 of m" in found
    assert "a@1 is there twice" in faults(tmp_path, entry() + entry(channels="[can1]"))


@pytest.mark.parametrize(
    "apart",
    [{"years": "{from: 2031}"}, {"channels": "[can1]"}, {"models": "[n]"}, {"version": "2", "models": "[n]"}],
)
def test_decoders_side_by_side(tmp_path: Path, apart: dict[str, str]) -> None:
    manifest = read_manifest(written(tmp_path, entry(years="{to: 2030}") + entry(**{"name": "b"} | apart)))
    assert len(manifest.decoders) == 2


def test_versions_at_once(tmp_path: Path) -> None:
    """The same message means another speed from 2023 on; OBD-II is there beside both."""
    other = PLAIN.replace("(0.1,0)", "(0.2,0)")
    (tmp_path / "b.dbc").write_text(other)
    hashed = hashlib.sha256(other.encode()).hexdigest()
    named = {"signals": "{Speed: vehicle_speed}"}
    entries = (
        entry(years="{to: 2022}", **named)
        + entry(version="2", years="{from: 2023}", database="b.dbc", sha256=hashed, **named)
        + entry(name="obd", protocol="obd", database="", sha256="")
    )
    manifest = read_manifest(written(tmp_path, entries))
    frames = [
        frame(0x10, "E803000000000000", 0, model="m", year=2022),
        frame(0x10, "E803000000000000", 1, model="m", year=2023, vehicle="v2"),
        frame(0x7E8, "03410D32", 2, model="m", year=2023, vehicle="v2"),
    ]
    decoded = decode_frames(frames_table(frames), manifest)
    assert values(decoded) == {"vehicle_speed": [100, 200, 50]}
    assert decoded.signals["decoder"].to_pylist() == ["a@1", "a@2", "obd@1"]


def test_unknown_vehicles(tmp_path: Path) -> None:
    manifest = read_manifest(written(tmp_path, entry(years="{from: 2020, to: 2024}")))
    with pytest.raises(
        UnknownModel, match=r"no decoder for model 'x' of 2022; the manifest has m \(2020-2024\)"
    ):
        manifest.check_model("x", 2022)
    with pytest.raises(UnknownModel):
        manifest.check_model("m", 2019)
    manifest.check_model("m", 2020)
    frames = [
        frame(0x10, bytes(8), model="x"),
        frame(0x10, bytes(8), 1, model=None, year=None),
        frame(0x10, bytes(8), 2, model="m", year=-5),
        frame(0x10, bytes(8), 3, model="m", year=2**31 - 1),
        frame(0x10, bytes(8), 4, model="m", channel="can7"),
        frame(0x10, bytes(8), 5, model="m"),
    ]
    decoded = decode_frames(frames_table(frames), manifest)
    assert counts(decoded) == {"no_decoder": 5, "decoded": 1}
    assert decoded.raw["reason"].to_pylist() == ["no_decoder"] * 5


def test_a_vehicle_of_unknown_year_has_decoders_for_all_years(tmp_path: Path) -> None:
    frames = frames_table([frame(0x10, bytes(8), model="m", year=None)])
    assert counts(decode_frames(frames, read_manifest(written(tmp_path, entry())))) == {"decoded": 1}
    until = read_manifest(written(tmp_path, entry(years="{to: 2030}")))
    assert counts(decode_frames(frames, until)) == {"no_decoder": 1}


def test_texts_of_more_than_64_bits_are_left_out(tmp_path: Path) -> None:
    long = database("BO_ 16 A: 64 X", SPEED, ' SG_ Vin : 16|136@1+ (1,0) [0|0] "" X')
    (one,) = read_manifest(written(tmp_path, entry(), long)).decoders
    assert one.compiled[0].left_out == ("Vin",)
    assert isinstance(read_manifest(tmp_path / "manifest.yaml"), Manifest)


def test_a_decoder_with_faults_is_refused_alone(tmp_path: Path) -> None:
    (tmp_path / "manifest.yaml").write_text(
        "version: 3\ndecoders:\n"
        "  - {name: gone, models: [van], years: {from: 2020}, channels: [can0], protocol: can, database: no.dbc}\n"
        "  - {name: obd, models: [van, bus], channels: [can0], protocol: obd}\n"
    )
    found = read_usable(tmp_path / "manifest.yaml")
    assert [one.decoder.label for one in found.refused] == ["gone@1"]
    assert "no.dbc" in found.refused[0].reasons[0]
    # A van of these years has no decoder at all; older ones and buses keep what is sound.
    assert [
        len(found.bus(*whose, "can0").decoders) for whose in (("van", 2021), ("van", 2019), ("bus", 2021))
    ] == [0, 1, 1]


def test_decoders_that_contradict_each_other_are_both_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.yaml").write_text(
        "version: 3\ndecoders:\n"
        "  - {name: one, models: [van], channels: [can0], protocol: obd}\n"
        "  - {name: two, models: [van], channels: ['*'], protocol: obd}\n"
        "  - {name: three, models: [bus], channels: ['*'], protocol: obd}\n"
    )
    found = read_usable(tmp_path / "manifest.yaml")
    assert [one.label for one in found.decoders] == ["three@1"]
    assert {one.decoder.label: one.reasons for one in found.refused} == dict.fromkeys(
        ("one@1", "two@1"), ("one@1 and two@1 both read OBD-II replies of van",)
    )
