"""`ops.partner_schema`: every schema that a partner's files came in, with what it differs by from the one before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from ingestion.partners.ledger import Connection
from ingestion.partners.schema import KnownSchema, ObservedSchema, SchemaDiff


@dataclass(frozen=True)
class SchemaVersion:
    """A schema as a version: `is_new` where the table does not hold it yet. `state`: accepted, held or approved."""

    version: int
    schema: ObservedSchema
    diff: SchemaDiff | None
    state: str
    is_new: bool

    @property
    def columns_json(self) -> list[dict[str, Any]]:
        """The columns, for the table."""
        return self.schema.to_json()

    @property
    def diff_json(self) -> list[dict[str, Any]]:
        """The differences, for the table."""
        return self.diff.to_json() if self.diff else []


def read_schemas(conn: Connection, partner: str) -> list[KnownSchema]:
    """Return the partner's schemas, oldest first."""
    rows = conn.execute(
        "select version, columns, state from ops.partner_schema where partner = %s order by version",
        (partner,),
    )
    return [
        KnownSchema(version, ObservedSchema.from_json(columns), state) for version, columns, state in rows
    ]


def version_of(
    known: list[KnownSchema], schema: ObservedSchema, diff: SchemaDiff | None, state: str
) -> SchemaVersion:
    """Return which version a schema is: the known one it equals, else the next."""
    for one in known:
        if one.schema.fingerprint == schema.fingerprint:
            return SchemaVersion(one.version, schema, diff, one.state, is_new=False)
    version = max((one.version for one in known), default=0) + 1
    return SchemaVersion(version, schema, diff, state, is_new=True)


def hold_schema(conn: Connection, partner: str, version: SchemaVersion, file_id: int) -> None:
    """Enter the schema of a held file, unless it is there."""
    if version.is_new:
        conn.execute(
            "insert into ops.partner_schema (partner, version, fingerprint, columns, diff, state, first_file_id)"
            " values (%s, %s, %s, %s, %s, 'held', %s)",
            (
                partner, version.version, version.schema.fingerprint, Jsonb(version.columns_json),
                Jsonb(version.diff_json), file_id,
            ),
        )  # fmt: skip


def approve_schema(conn: Connection, partner: str, version: int) -> bool:
    """Approve a schema that is held; say whether it was."""
    return bool(
        conn.execute(
            "update ops.partner_schema set state = 'approved'"
            " where partner = %s and version = %s and state = 'held'",
            (partner, version),
        ).rowcount
    )
