"""Fills in the values that a change left alone, from the version of the row before it.

In a stage, `_kept` is null or has a `1` for each such column. The version before is the one staged before it
for the same key, else the current row. First the rows that are the first of their key take theirs from current. Then
those take theirs from the staged version right before them for which that one is whole, which is nearly all of what is
left. The rest follows a version that has kept values itself: one sort serves every column, for a running maximum of
`_n || value` within a key is the last value that was not kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

Connection = psycopg.Connection[tuple[Any, ...]]

_FROM_CURRENT = """
update {stage} as s set _kept = null, {take}
from {stage} as t
left join {current} as held on {same_key}
where s._n = t._n and t._kept is not null and t._n in (select min(_n) from {stage} group by {key})
"""

_FROM_PREVIOUS = """
update {stage} as s set _kept = null, {take}
from (
    select _n, lag(_n) over (partition by {key} order by _n) as previous from {stage}
    where ({key}) in (select {key} from {stage} where _kept is not null)
) as place
inner join {stage} as before on place.previous = before._n and before._kept is null
inner join {stage} as t on place._n = t._n
where s._n = t._n and t._kept is not null
"""

_FROM_STAGE = """
update {stage} as s set _kept = null, {take}
from (
    select *, {last} from {stage}
    where ({key}) in (select {key} from {stage} where _kept is not null)
    window w as (partition by {key} order by _n)
) as t
where s._n = t._n and t._kept is not null
"""

_HELD = "c{i} = case when substr(t._kept, {p}, 1) = '1' then held.{name}::text else t.c{i} end"
_BEFORE = "c{i} = case when substr(t._kept, {p}, 1) = '1' then before.c{i} else t.c{i} end"
_LAST = (
    "max((lpad(_n::text, 19, '0') || coalesce('v' || c{i}, 'n')) collate \"C\")"
    " filter (where _kept is null or substr(_kept, {p}, 1) = '0') over w as m{i}"
)
_STAGED = (
    "c{i} = case when substr(t._kept, {p}, 1) = '0' then t.c{i}"
    " when substr(t.m{i}, 20, 1) = 'v' then substr(t.m{i}, 21) end"
)


def resolve(
    warehouse: Connection,
    parts: Mapping[str, sql.Composable | int],
    names: Sequence[str],
    kept: Sequence[int],
) -> None:
    """Fill the columns at these positions wherever a staged row kept them."""
    warehouse.execute(sql.SQL("analyze {stage} ({key_columns}, _n, _kept)").format(**parts))
    warehouse.execute(sql.SQL(_FROM_CURRENT).format(take=_each(names, kept, _HELD), **parts))
    if _any_left(warehouse, parts):
        warehouse.execute(sql.SQL(_FROM_PREVIOUS).format(take=_each(names, kept, _BEFORE), **parts))
    if _any_left(warehouse, parts):
        take, last = _each(names, kept, _STAGED), _each(names, kept, _LAST)
        warehouse.execute(sql.SQL(_FROM_STAGE).format(take=take, last=last, **parts))


def _any_left(warehouse: Connection, parts: Mapping[str, sql.Composable | int]) -> bool:
    row = warehouse.execute(
        sql.SQL("select exists (select from {stage} where _kept is not null)").format(**parts)
    ).fetchone()
    return row is not None and bool(row[0])


def _each(names: Sequence[str], positions: Sequence[int], template: str) -> sql.Composed:
    parts = (
        sql.SQL(template.replace("{i}", str(i)).replace("{p}", str(i + 1))).format(
            name=sql.Identifier(names[i])
        )
        for i in positions
    )
    return sql.SQL(", ").join(parts)
