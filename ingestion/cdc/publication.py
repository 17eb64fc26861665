"""What the order database gives out: one publication, and the least rights that reading it needs.

Drivers and vehicles are allow-listed column by column, for they hold names, phones, licence numbers, plates
and VINs: a column that is not listed can neither be read by the CDC role nor reach the stream. The others are
published whole, so that a column added there is followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql

from domain.contracts import ENTITIES
from ingestion.cdc.errors import PublicationError, SchemaDriftError
from ingestion.cdc.layout import Layout, SourceColumn

Connection = psycopg.Connection[tuple[Any, ...]]
Tables = Mapping[str, tuple[str, ...] | None]

SCHEMA = "public"
# The mirror's own columns, of current and of history.
OWN_COLUMNS = frozenset({"_op", "_lsn", "_seq", "_committed_at", "_deleted", "batch_id"})
PUBLICATION = "fleetflow"
# A table with personal data is published column by column, any other whole.
TABLES: Tables = {
    name: tuple(column.name for column in entity.mirrored) if entity.mirrored != entity.columns else None
    for name, entity in ENTITIES.items()
}


def prepare(
    owner: Connection,
    role: str,
    *,
    publication: str = PUBLICATION,
    tables: Tables = TABLES,
    schema: str = SCHEMA,
) -> None:
    """Make or adjust the publication, and grant the role SELECT on exactly what is published.

    Run by the owner of the tables; safe to repeat. The role itself needs LOGIN and REPLICATION (on RDS:
    membership of rds_replication), which only an administrator can give.

    Raises:
        PublicationError: the role, a table or a listed column does not exist, or the caller is not the owner.
    """
    try:
        with owner.transaction():
            _publish(owner, publication, tables, schema)
            for table, columns in tables.items():
                _grant(owner, role, sql.Identifier(schema, table), columns)
            owner.execute(
                sql.SQL("grant usage on schema {} to {}").format(sql.Identifier(schema), sql.Identifier(role))
            )
    except psycopg.ProgrammingError as fault:
        raise PublicationError(
            f"publication {publication} cannot be made: {fault.diag.message_primary}"
        ) from fault


def _publish(owner: Connection, publication: str, tables: Tables, schema: str) -> None:
    targets = sql.SQL(", ").join(
        sql.SQL("{}{}").format(sql.Identifier(schema, table), _column_list(columns))
        for table, columns in tables.items()
    )
    name = sql.Identifier(publication)
    known = owner.execute("select from pg_publication where pubname = %s", (publication,)).fetchone()
    statement = (
        "alter publication {} set table {}" if known is not None else "create publication {} for table {}"
    )
    owner.execute(sql.SQL(statement).format(name, targets))
    owner.execute(
        sql.SQL("alter publication {} set (publish = 'insert, update, delete, truncate')").format(name)
    )


def _grant(owner: Connection, role: str, table: sql.Identifier, columns: tuple[str, ...] | None) -> None:
    grantee = sql.Identifier(role)
    owner.execute(sql.SQL("revoke all on {} from {}").format(table, grantee))
    owner.execute(sql.SQL("grant select{} on {} to {}").format(_column_list(columns), table, grantee))


def _column_list(columns: tuple[str, ...] | None) -> sql.Composable:
    if columns is None:
        return sql.SQL("")
    return sql.SQL(" ({})").format(sql.SQL(", ").join(map(sql.Identifier, columns)))


def read_layouts(source: Connection, publication: str, tables: Tables) -> dict[str, Layout]:
    """Return the published columns of each table, as the catalog has them now.

    Raises:
        PublicationError: the publication is missing, or its tables are not the ones that are mirrored.
    """
    layouts = read_published(source, publication)
    check_published(publication, layouts, tables)
    return layouts


def read_published(source: Connection, publication: str) -> dict[str, Layout]:
    """Return the published columns of whatever tables the publication has now."""
    rows = source.execute(
        "select p.tablename, c.oid, a.attname, a.atttypid, a.atttypmod, a.attnum,"
        " case when a.atthasmissing then (a.attmissingval::text::text[])[1] end,"
        " not a.atthasmissing and (a.atthasdef or a.attidentity <> ''),"
        " t.typsend in ('pg_catalog.textsend'::regproc, 'pg_catalog.varcharsend'::regproc,"
        " 'pg_catalog.bpcharsend'::regproc, 'pg_catalog.namesend'::regproc, 'pg_catalog.enum_send'::regproc)"
        " from pg_publication_tables as p"
        " join pg_namespace as n on n.nspname = p.schemaname"
        " join pg_class as c on c.relnamespace = n.oid and c.relname = p.tablename"
        " join pg_attribute as a on a.attrelid = c.oid and a.attname = any(p.attnames) and a.attnum > 0"
        " join pg_type as t on t.oid = a.atttypid"
        " where p.pubname = %s order by p.tablename, a.attnum",
        (publication,),
    ).fetchall()
    layouts: dict[str, Layout] = {}
    for table, oid, *column in rows:
        seen = layouts.setdefault(table, Layout(oid, ()))
        layouts[table] = Layout(oid, (*seen.columns, SourceColumn(*column)))
    return layouts


def find_moved(
    layouts: Mapping[str, Layout], tables: Tables, known: Mapping[str, Layout]
) -> SchemaDriftError | None:
    """Return what became of the first mirrored table that is no longer published under its name, None if all are."""
    names = {layout.oid: name for name, layout in layouts.items()}
    for entity in sorted(tables.keys() - layouts.keys()) if layouts else ():
        if entity in known:
            return moved(entity, names.get(known[entity].oid))
    return None


def moved(entity: str, name: str | None) -> SchemaDriftError:
    """Say that a mirrored table is now called otherwise, or is gone."""
    if name is None:
        return SchemaDriftError(entity, "drop table", "the table was dropped, or left the publication")
    return SchemaDriftError(
        entity, "rename table", f"the table is now called {name}; it has to get its name back to be mirrored"
    )


def check_published(publication: str, layouts: Mapping[str, Layout], tables: Tables) -> None:
    """Refuse a publication whose tables are not the ones that are mirrored.

    Raises:
        PublicationError: it is missing, or holds another set of tables, or columns that may not be mirrored.
    """
    if not layouts:
        raise PublicationError(
            f"the order database has no publication {publication}; run prepare() as its owner"
        )
    if layouts.keys() != tables.keys():
        raise PublicationError(
            f"publication {publication} holds {sorted(layouts)}, but the mirrors are {sorted(tables)};"
            " run prepare() as the order database's owner"
        )
    for table, layout in layouts.items():
        check_allowed(table, layout, tables[table])


def check_allowed(table: str, layout: Layout, allowed: tuple[str, ...] | None) -> None:
    """Refuse a column that is published though it is not on the table's allow-list, or bears a name of the mirror's.

    Raises:
        PublicationError: such a column is there; none of its values was stored.
    """
    if reserved := OWN_COLUMNS.intersection(layout.names):
        raise PublicationError(
            f"{table} publishes {', '.join(sorted(reserved))}, a name that the mirror has for a column of its own;"
            " rename it in the order database, or leave it out of the publication"
        )
    extra = [] if allowed is None else [name for name in layout.names if name not in allowed]
    if extra:
        raise PublicationError(
            f"{table} publishes {', '.join(extra)}, which may not be mirrored; run prepare() as the order"
            " database's owner"
        )
