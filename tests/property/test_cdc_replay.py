"""Whatever the order system does, in whatever cuts it is pulled: mirror == source, and the history replays to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.cdc_orders import Cluster, Pair

KEYS = [f"S{i}" for i in range(5)]
LONG = "x" * 3000  # stored out of line, so that an update that leaves it alone does not carry it

key = st.sampled_from(KEYS)
text = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=8),
    st.sampled_from(["\\N", "\\.", "a\tb", "a\nb", '"', "'", LONG, LONG + "é"]),
)
number = st.one_of(st.integers(-90, 90).map(float), st.floats(-90, 90, allow_nan=False))
change = st.one_of(
    st.tuples(st.just("put"), key, text, number),
    st.tuples(st.just("city"), key, text, number),
    st.tuples(st.just("move"), key, key, number),
    st.tuples(st.just("delete"), key, text, number),
    st.tuples(st.just("truncate"), key, text, number),
)
transaction = st.lists(change, min_size=1, max_size=6)
# Between the transactions stands what the mirror does: nothing, a pull, or a pull in rounds as small as they get.
story = st.lists(st.tuples(transaction, st.sampled_from(["", "", "pull", "rounds", "rollback"])), max_size=10)

PUT = (
    "insert into sites values (%s, 'acme', %s, 'depot', 'r', 'DE', 'c', %s, 1, 'UTC')"
    " on conflict (site_id) do update set name = excluded.name, lat = excluded.lat"
)


def do(orders: psycopg.Connection, operation: str, site: str, value: str, lat: float) -> None:
    if operation == "put":
        orders.execute(PUT, (site, value, lat))
    elif operation == "city":
        orders.execute("update sites set city = %s where site_id = %s", (value, site))
    elif operation == "move":
        orders.execute(
            "update sites set site_id = %s where site_id = %s and not exists (select from sites where site_id = %s)",
            (value, site, value),
        )
    elif operation == "delete":
        orders.execute("delete from sites where site_id = %s", (site,))
    else:
        orders.execute("truncate sites cascade")


@pytest.fixture(scope="module")
def mirrored(cdc_cluster: Cluster) -> Iterator[Pair]:
    pair = cdc_cluster.make_pair()
    pair.write(
        "alter table sites alter column name set storage external, alter column city set storage external"
    )
    pair.snapshot()
    yield pair
    cdc_cluster.drop_pair(pair)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=story)
def test_mirror_equals_source(
    mirrored: Pair, story: list[tuple[list[tuple[str, str, str, float]], str]]
) -> None:
    pull: dict[str, Callable[[], object]] = {
        "pull": mirrored.pull,
        "rounds": lambda: mirrored.pull(round_changes=1),
    }
    for changes, then in story:
        with psycopg.connect(mirrored.orders_dsn) as orders:
            for step in changes:
                do(orders, *step)
            if then == "rollback":
                orders.rollback()
        if then in pull:
            pull[then]()
    mirrored.pull()
    mirrored.assert_mirrored()
    assert mirrored.rows("select _lsn, _seq from source.sites_history where _op <> 't' group by 1, 2"
                         " having count(*) > 1") == []  # fmt: skip
