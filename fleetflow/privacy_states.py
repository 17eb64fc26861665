"""Drivers within the kept states of folds: found and renamed without knowing what else a state holds.

A state is MessagePack, or zlib over MessagePack (`fleetflow/vehicles`). One that is neither and holds the name is
dropped, and its entity is folded from its first event, as after a new version of the fold.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import msgspec

from fleetflow.runtime import Connection

_ROWS = 500


class UnreadableStateError(ValueError):
    """A state holds a name and cannot be rewritten."""


def rename(content: bytes, names: Mapping[str, str]) -> bytes | None:
    """Return a state with each text that is one of `names` replaced; None where none is in it.

    Raises:
        UnreadableStateError: a name stands in the bytes, which are of no kind that is known.
    """
    try:
        plain, is_packed = zlib.decompress(content), True
    except zlib.error:
        plain, is_packed = content, False
    if not any(name.encode() in plain for name in names):
        return None
    try:
        value = msgspec.msgpack.decode(plain)
    except msgspec.DecodeError:
        raise UnreadableStateError("the state is no MessagePack") from None
    changed = _replace(value, names)
    if changed == value:
        return None
    encoded = msgspec.msgpack.encode(changed)
    return zlib.compress(encoded, 1) if is_packed else encoded


def _replace(value: Any, names: Mapping[str, str]) -> Any:
    match value:
        case str():
            return names.get(value, value)
        case list():
            return [_replace(one, names) for one in value]
        case dict():
            return {_replace(key, names): _replace(one, names) for key, one in value.items()}
    return value


def rename_in_states(conn: Connection, tenant: str, names: Mapping[str, str], *, dry_run: bool) -> int:
    """Rename drivers in a tenant's kept states, in the transaction of the caller; return how many held one."""
    found: list[tuple[str, str, Any, bytes | None]] = []
    with conn.transaction(), conn.cursor(name="states") as cursor:
        cursor.itersize = _ROWS
        cursor.execute(
            "select fold, entity_id, as_of, state from intermediate.fold_state where tenant_id = %s",
            (tenant,),
        )
        for fold, entity, as_of, content in cursor:
            try:
                changed = rename(content, names)
            except UnreadableStateError:
                found.append((fold, entity, as_of, None))
            else:
                if changed is not None:
                    found.append((fold, entity, as_of, changed))
    for fold, entity, as_of, changed in () if dry_run else found:
        which = (fold, tenant, entity, as_of)
        if changed is None:
            conn.execute(
                "delete from intermediate.fold_state where (fold, tenant_id, entity_id, as_of) = (%s, %s, %s, %s)",
                which,
            )
        else:
            conn.execute(
                "update intermediate.fold_state set state = %s"
                " where (fold, tenant_id, entity_id, as_of) = (%s, %s, %s, %s)",
                (changed, *which),
            )
    return len(found)
