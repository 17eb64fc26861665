"""Keys and fingerprints agree exactly where contents do, whatever the columns' encoding and however they are cut."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from ingestion.lake.fingerprint import Contents, KeySet, fingerprints, hash_column, row_keys

WORDS = pa.dictionary(pa.int32(), pa.string())


def text(*values: str | None) -> pa.Array:
    return pa.array(values, pa.string())


@pytest.mark.parametrize(
    "values",
    [
        text("a", "b", "ab", "ba", "", "a\0", "\0a", "aa", "aaa", "é", "e"),
        pa.array([0.0, 1.0, -1.0, 1e-300, 1e300, 48.2, -48.2]),
        pa.array([0, 1, -1, 2**62, -(2**62), 2**31]),
        pa.array([True, False]),
        pa.array([0, 1, 86_400_000_000], pa.timestamp("us", "UTC")),
    ],
    ids=lambda values: str(values.type),
)
def test_different_values_differ_and_null_differs_from_all(values: pa.Array) -> None:
    with_null = pa.concat_arrays([values, pa.nulls(1, values.type)])
    assert len(set(hash_column(with_null, "c").tolist())) == len(with_null)


def test_encoding_and_slicing_play_no_part() -> None:
    plain = text("v1", None, "v2", "v1", "", "longer than the others")
    expected = hash_column(plain, "c").tolist()
    assert hash_column(plain.dictionary_encode(), "c").tolist() == expected
    padded = pa.concat_arrays([text("x", "yy"), plain, text("z")])
    assert hash_column(padded[2:-1], "c").tolist() == expected
    assert hash_column(padded.dictionary_encode()[2:-1], "c").tolist() == expected
    assert hash_column(pa.nulls(2, pa.string()).dictionary_encode(), "c").tolist() == [expected[1]] * 2


def test_a_value_in_another_column_is_another_content() -> None:
    one = pa.table({"lat": [48.0, -48.0], "lon": [16.0, -16.0]})
    swapped = pa.table({"lat": [16.0, 48.0], "lon": [48.0, -16.0]})
    prints = [*fingerprints(one, ["lat", "lon"]).tolist(), *fingerprints(swapped, ["lat", "lon"]).tolist()]
    assert len(set(prints)) == 4
    assert fingerprints(one, ["lon", "lat"]).tolist() == prints[:2]


def test_zero_is_zero() -> None:
    assert len(set(hash_column(pa.array([0.0, -0.0]), "c").tolist())) == 1


def test_keys_go_by_entity_and_time() -> None:
    entities = pa.chunked_array([text("v1", "v2", "v1").dictionary_encode(), text("v2").dictionary_encode()])
    times = pa.chunked_array([pa.array([1, 1, 2, 1], pa.timestamp("us", "UTC"))])
    keys = row_keys(entities, times).tolist()
    assert keys[1] == keys[3]
    assert len(set(keys)) == 3


def test_key_sets_answer_for_columns() -> None:
    dice = np.random.default_rng(1)
    keys = dice.integers(0, 2**63, 5_000).astype(np.uint64)
    held = KeySet(np.concatenate((keys, keys[:7])))
    assert held.holds(keys).all()
    assert not held.holds(keys + np.uint64(1)).any()
    assert held.repeated.tolist() == sorted(keys[:7].tolist())
    assert not KeySet(np.zeros(0, np.uint64)).holds(keys).any()


def test_contents_are_new_once() -> None:
    def numbers(*values: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        return np.asarray(values, np.uint64)

    known = Contents([(numbers(1), numbers(10))])
    assert known.take_new(numbers(1, 1, 2, 2, 1), numbers(10, 11, 10, 10, 11)).tolist() == [
        False, True, True, False, False,
    ]  # fmt: skip
    assert known.take_new(numbers(2, 3), numbers(10, 10)).tolist() == [False, True]


def test_bytes_hash_as_they_are() -> None:
    values = [b"\xff\x00", b"\xff", b"", None, b"\x00\xff"]
    plain = hash_column(pa.array(values, pa.binary()), "c")
    assert len(set(plain.tolist())) == len(values)
    assert hash_column(pa.array(values, pa.large_binary()), "c").tolist() == plain.tolist()
    assert hash_column(pa.array([b"", *values], pa.binary())[1:], "c").tolist() == plain.tolist()
