"""Every known way to look across tenants, each as a function that tries one relation in one login's session.

An attempt writes down what it was shown: rows, notices, messages of errors, counts of a plan. Whatever of that holds a
forbidden word was a leak. Two tenants stand in every table, and their words in every text of their rows, so the word
tells whose row it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

OWN, FOREIGN = "acme", "rival"
WRITES = (
    "insert into {rel} (tenant_id) values ('rival')",
    "insert into {rel} (tenant_id) values ('acme')",
    "update {rel} set tenant_id = 'acme'",
    "delete from {rel}",
    "truncate {rel}",
    "merge into {rel} as t using (values ('rival')) as v (x) on t.tenant_id = v.x when matched then delete",
    "select {cols} from {rel} for update",
    "create temporary table probe (tenant_id text references {rel})",
    "alter table {rel} disable row level security",
    "alter table {rel} no force row level security",
    "create policy mine on {rel} using (true)",
    "create trigger mine after insert on {rel} execute function pg_catalog.suppress_redundant_updates_trigger()",
    "create index on {rel} (tenant_id)",
    "comment on table {rel} is 'mine'",
    "lock table {rel} in access exclusive mode",
)
HIGHER_ROLES = (
    "fleet_owner",
    "fleet_loader",
    "fleet_transformer",
    "fleet_ops",
    "fleet_privacy",
    "pg_read_all_data",
)


@dataclass(frozen=True)
class Relation:
    """A relation that a role may read, with the columns that it may read."""

    name: str
    columns: tuple[str, ...]

    @property
    def listed(self) -> str:
        """The columns, for a select list."""
        return ", ".join(self.columns)


@dataclass
class Session:
    """One login at one relation: runs statements and keeps all that it is shown."""

    conn: psycopg.Connection[tuple[Any, ...]]
    relation: Relation
    shown: list[str] = field(default_factory=list)

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement, with {rel} and {cols} filled in; a refusal counts as no rows."""
        text = statement.replace("{rel}", self.relation.name).replace("{cols}", self.relation.listed)
        try:
            cursor = self.conn.execute(text.encode())
            rows = cursor.fetchall() if cursor.description else []
        except psycopg.Error as fault:
            self.shown += [fault.diag.message_primary or str(fault), fault.diag.message_detail or ""]
            return []
        self.shown += [str(row) for row in rows]
        return rows

    def allowed(self, statement: str) -> bool:
        """Run a statement that must be refused; write down if it was not."""
        text = statement.replace("{rel}", self.relation.name).replace("{cols}", self.relation.listed)
        try:
            self.conn.execute(text.encode())
        except psycopg.Error:
            return False
        self.shown.append(f"{FOREIGN}: allowed: {text}")
        return True

    def select(self) -> None:
        """Read the whole relation, in the ways that look alike and are planned differently."""
        self.run("select {cols} from {rel}")
        self.run("select c.* from (select {cols} from {rel}) as c where c::text like '%riv' || 'al%'")
        self.run(
            "select count(*) || 'rival' from (select {cols} from {rel}) as c where c::text like '%riv' || 'al%'"
            " having count(*) > 0"
        )

    def fresh(self) -> None:
        """Begin again, as a pool hands a session on."""
        self.conn.rollback()
        self.conn.execute("discard all")


Attempt = Callable[[Session], None]


def no_setting(s: Session) -> None:
    s.select()


def empty_setting(s: Session) -> None:
    s.run("set fleetflow.tenant = ''")
    s.select()


def odd_settings(s: Session) -> None:
    for word in ("*", "%", "null", "acme,riv%", "' or true or '"):
        s.run(f"select set_config('fleetflow.tenant', $q${word}$q$, false) is null")
        s.run("select {cols} from {rel}")


def left_over_local(s: Session) -> None:
    """A transaction ended with its SET LOCAL: the next user of the session has none."""
    s.run("begin")
    s.conn.execute("set local fleetflow.tenant = 'acme'")
    s.run("commit")
    s.select()


def left_over_as_tenant(s: Session) -> None:
    with s.conn.transaction():
        s.conn.execute("select ops.as_tenant('acme')")
    s.select()


def left_over_rolled_back(s: Session) -> None:
    s.conn.execute("begin")
    s.conn.execute("set fleetflow.tenant = 'acme'")
    s.conn.execute("rollback")
    s.select()


def reset_session(s: Session) -> None:
    s.run("set fleetflow.tenant = 'acme'")
    s.run("reset fleetflow.tenant")
    s.select()


def discarded_session(s: Session) -> None:
    s.run("set fleetflow.tenant = 'acme'")
    s.conn.execute("discard all")
    s.select()


WITHOUT_TENANT: tuple[Attempt, ...] = (
    no_setting, empty_setting, odd_settings, left_over_local, left_over_as_tenant, left_over_rolled_back, reset_session,
    discarded_session,
)  # fmt: skip
"""Nobody's tenant: no row of anybody may show."""


def own_rows_only(s: Session) -> None:
    s.select()


def named_in_where(s: Session) -> None:
    if "tenant_id" in s.relation.columns:
        s.run("select {cols} from {rel} where tenant_id = 'riv' || 'al'")
        s.run("select {cols} from {rel} where tenant_id <> 'acme' or true")
        s.run("select max(tenant_id), min(tenant_id), array_agg(tenant_id) from {rel}")


def physical_access(s: Session) -> None:
    for page in range(2):
        for line in range(1, 6):
            s.run(f"select {{cols}} from {{rel}} where ctid = '({page},{line})'")
    s.run("select {cols} from {rel} tablesample system (100)")
    for switch in ("enable_seqscan", "enable_indexscan", "enable_bitmapscan", "enable_indexonlyscan"):
        s.run(f"set {switch} = off")
        s.run("select {cols} from {rel}")


def row_security_off(s: Session) -> None:
    s.run("set row_security = off")
    s.select()


def leaky_function(s: Session) -> None:
    """A cheap function that tells what it is given: it must be given own rows only."""
    s.run(
        "create function pg_temp.tell(a text) returns boolean language plpgsql cost 0.0000001 as"
        " $f$begin raise notice '%', a; return true; end$f$"
    )
    s.run("select 1 from (select {cols} from {rel}) as c where pg_temp.tell(c::text)")
    for column in s.relation.columns:
        s.run(f"select 1 from {{rel}} where pg_temp.tell({column}::text) and {column} is not null")
        s.run(f"select 1 from {{rel}} as a order by pg_temp.tell(a.{column}::text)")


def leaky_operator(s: Session) -> None:
    """An operator of the caller's own, on the caller's own function."""
    s.run(
        "create function pg_temp.differ(a text, b text) returns boolean language plpgsql cost 0.0000001 as"
        " $f$begin raise notice '%', a; return false; end$f$"
    )
    s.run("create operator pg_temp.<<<>>> (procedure = pg_temp.differ, leftarg = text, rightarg = text)")
    for column in s.relation.columns:
        s.run(f"select 1 from {{rel}} where {column}::text operator(pg_temp.<<<>>>) 'x'")


def leaky_error(s: Session) -> None:
    """Errors tell values: a cast that fails, a division that fails only for another's row."""
    for column in s.relation.columns:
        s.run(
            f"select 1 from {{rel}} where {column}::text::numeric > 0 and {column}::text like '%riv' || 'al%'"
        )
        before = len(s.shown)
        s.run(
            f"select 1 from {{rel}} where 1 / (case when {column}::text like '%riv%' then 0 else 1 end) > 0"
        )
        if any("division by zero" in text for text in s.shown[before:]):
            s.shown.append(f"{FOREIGN}: an error told that there is such a row")


def prepared_statements(s: Session) -> None:
    """A generic plan, kept over changes of the setting."""
    s.run("set plan_cache_mode = force_generic_plan")
    s.run("prepare kept as select {cols} from {rel}")
    for tenant in ("", OWN, "nobody", OWN, ""):
        s.run(f"set fleetflow.tenant = '{tenant}'")
        s.run("execute kept")


def views(s: Session) -> None:
    s.run("create temporary view mine as select {cols} from {rel}")
    s.run(
        "create temporary view bare with (security_invoker = false, security_barrier = false) as"
        " select {cols} from {rel}"
    )
    s.run("create temporary table taken as select {cols} from {rel}")
    for name in ("mine", "bare", "taken"):
        s.run(f"select * from pg_temp.{name}")


def functions_of_ones_own(s: Session) -> None:
    s.run(
        "create function pg_temp.peek() returns setof text language sql security definer as"
        " $f$select c::text from (select {cols} from {rel}) as c$f$"
    )
    s.run("select * from pg_temp.peek()")
    s.run(
        "do $d$declare r record; begin for r in select {cols} from {rel} loop raise notice '%', r; end loop; end$d$"
    )


def shadowed_names(s: Session) -> None:
    """What a function with its owner's rights looks up must not be the caller's."""
    for name in (
        "analyst_tenant",
        "analyst_scope",
        "vehicle_grant",
        "driver_identity",
        "pg_class",
        "sites",
        "vehicles",
    ):
        s.run(
            f"create temporary table {name} as"
            " select 'rival'::text as tenant_id, session_user::text as login, '*'::text as x"
        )
    s.run("set search_path = pg_temp, public")
    s.run("select {cols} from {rel}")


def cursors(s: Session) -> None:
    s.run("begin")
    s.run("declare early no scroll cursor with hold for select {cols} from {rel}")
    s.run("fetch 1 from early")
    s.run("set local fleetflow.tenant = 'nobody'")
    s.run("fetch all from early")
    s.run("commit")
    s.run("set fleetflow.tenant = ''")
    s.run("declare late cursor with hold for select {cols} from {rel}")
    s.run("fetch all from late")
    s.run("rollback")


def copies(s: Session) -> None:
    for statement in (
        f"copy {s.relation.name} ({s.relation.listed}) to stdout",
        f"copy (select {s.relation.listed} from {s.relation.name}) to stdout",
    ):
        try:
            with s.conn.cursor().copy(statement.encode()) as copy:
                s.shown += [bytes(data).decode() for data in copy]
        except psycopg.Error as fault:
            s.shown.append(fault.diag.message_primary or "")
    s.allowed("copy {rel} to '/tmp/rival'")
    s.allowed("copy {rel} to program 'cat'")


def as_xml(s: Session) -> None:
    """Functions that run a query given as text, or read a table given by name."""
    s.run("select query_to_xml('select {cols} from {rel}', true, false, '')")
    s.run("select table_to_xml('{rel}'::regclass, true, false, '')")
    s.run(f"select schema_to_xml('{s.relation.name.partition('.')[0]}', true, false, '')")


def plans(s: Session) -> None:
    """What a plan counts of rows that come out. How many it passed over is the table's size, as in the catalog."""
    found = s.run(
        "explain (analyze, verbose, format json) select c.* from (select {cols} from {rel}) as c"
        " where c::text like '%riv%'"
    )
    for (plan,) in found:
        top = (plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"]
        if top["Actual Rows"] > 0:
            s.shown.append(f"{FOREIGN}: a plan counted {top['Actual Rows']} rows")


def statistics(s: Session) -> None:
    """Most common values and bounds of histograms are values of rows."""
    schema, _, table = s.relation.name.partition(".")
    s.run(f"select * from pg_stats where schemaname = '{schema}' and tablename = '{table}'")
    s.run(f"select * from pg_stats_ext where schemaname = '{schema}' and tablename = '{table}'")
    s.run("select * from pg_statistic where starelid = '{rel}'::regclass")
    s.run("select * from pg_stats_ext_exprs")
    s.run("select query from pg_stat_activity where usename <> session_user")


def higher_roles(s: Session) -> None:
    taken = {"fleet_privacy"} if s.relation.name.startswith("vault.") else set()
    for role in sorted(set(HIGHER_ROLES) - taken):
        s.allowed(f"set role {role}")
        s.allowed(f"set session authorization {role}")
        s.allowed(f"grant {role} to current_user")
    s.allowed("alter role current_user bypassrls")
    s.select()


def ones_own_group(s: Session) -> None:
    """It is the login that counts, also for who takes on the group that the policies are for."""
    for group in ("fleet_analyst", "fleet_partner", "fleet_privacy", "fleet_live"):
        s.run(f"set role {group}")
        s.select()
        s.run("reset role")


def left_in_the_session(s: Session) -> None:
    """What a pool hands on but does not see: held cursors, prepared statements, temporary tables, notifications."""
    s.run("set fleetflow.tenant = 'acme'")
    s.run("create temporary table kept as select {cols} from {rel}")
    s.run("create temporary table fct_shipment as select 'rival' || '-secret' as tenant_id")
    s.run("declare held cursor with hold for select {cols} from {rel}")
    s.run("prepare kept_plan as select {cols} from {rel}")
    s.run("listen rival_channel")
    s.run("create temporary view kept_view as select {cols} from {rel}")
    s.conn.execute("discard all")
    for statement in ("select * from pg_temp.kept", "fetch all from held", "execute kept_plan"):
        before = len(s.shown)
        s.run(statement)
        if [text for text in s.shown[before:] if text.startswith("(")]:
            s.shown.append(f"{FOREIGN}: {statement} outlived the session that was handed on")
    s.run("select 'rival', * from pg_cursors")
    s.run("select 'rival', * from pg_prepared_statements")
    s.run("select 'rival', * from pg_listening_channels()")
    s.run("set fleetflow.tenant = 'acme'")


def physical_tuples(s: Session) -> None:
    """Functions that go by a table's name, not through its policies."""
    for call in (
        "pg_catalog.currtid2('{rel}', '(0,1)')", "pg_read_binary_file(pg_relation_filepath('{rel}'))",
        "pg_stat_file(pg_relation_filepath('{rel}'))", "pg_read_file('postgresql.conf')", "pg_ls_waldir()",
        "brin_summarize_new_values('{rel}'::regclass)",
    ):  # fmt: skip
        rows = s.run(f"select {call}")
        if rows and "currtid2" not in call:
            s.shown.append(f"{FOREIGN}: {call} was answered")


def writes(s: Session) -> None:
    for statement in WRITES:
        s.allowed(statement)
    for right in ("insert", "update", "delete", "truncate", "references", "trigger", "maintain"):
        s.run(f"select 'rival: right to {right}' where has_table_privilege('{{rel}}', '{right}')")
    for right in ("insert", "update", "references"):
        s.run(
            f"select 'rival: right to {right} columns' where has_any_column_privilege('{{rel}}', '{right}')"
        )


def catalogs(s: Session) -> None:
    """What is not theirs is not even listed with its columns; no sequence, no large object tells anything."""
    hidden = {"landing", "source", "vault", "intermediate", "staging", "lake"} - {
        s.relation.name.partition(".")[0]
    }
    names = ", ".join(f"'{name}'" for name in sorted(hidden))
    s.run(
        "select 'rival', table_schema, table_name from information_schema.columns"
        f" where table_schema in ({names})"
    )
    s.run("select 'rival', s.* from pg_sequences as s where s.last_value is not null")
    s.run("select 'rival', lo_get(oid) from pg_largeobject_metadata")
    s.run("select 'rival', data from pg_largeobject")
    s.run("select 'rival', rolpassword from pg_authid")
    s.run("select 'rival', umoptions from pg_user_mappings where umoptions is not null")


WITH_OWN_TENANT: tuple[Attempt, ...] = (
    own_rows_only, named_in_where, physical_access, row_security_off, leaky_function, leaky_operator, leaky_error,
    prepared_statements, views, functions_of_ones_own, shadowed_names, cursors, copies, as_xml, plans, statistics,
    higher_roles, ones_own_group, left_in_the_session, physical_tuples, writes, catalogs,
)  # fmt: skip
"""The session works for one tenant, as it may: no row of another may show."""


def names_another_tenant(s: Session) -> None:
    s.run("set fleetflow.tenant = 'rival'")
    s.select()


def names_another_locally(s: Session) -> None:
    s.run("begin")
    s.run("set local fleetflow.tenant = 'rival'")
    s.select()
    s.run("rollback")


def opens_another_tenant(s: Session) -> None:
    s.conn.execute("begin")
    s.run("select ops.as_tenant('riv' || 'al')")
    s.select()
    s.conn.execute("rollback")


def prepared_for_another(s: Session) -> None:
    s.run("set plan_cache_mode = force_generic_plan")
    s.run("prepare kept as select {cols} from {rel}")
    s.run("set fleetflow.tenant = 'acme'")
    for _ in range(6):
        s.run("execute kept")
    s.run("set fleetflow.tenant = 'rival'")
    s.run("execute kept")


def cursor_for_another(s: Session) -> None:
    s.run("begin")
    s.run("set local fleetflow.tenant = 'acme'")
    s.run("declare open cursor with hold for select {cols} from {rel}")
    s.run("set local fleetflow.tenant = 'rival'")
    s.run("fetch all from open")
    s.run("rollback")


def function_with_setting(s: Session) -> None:
    s.run(
        "create function pg_temp.other() returns setof text language sql set fleetflow.tenant = 'rival' as"
        " $f$select c::text from (select {cols} from {rel}) as c$f$"
    )
    s.run("select * from pg_temp.other()")


def changed_within_a_query(s: Session) -> None:
    """The setting changed by the statement itself, before its policies look."""
    s.run("set fleetflow.tenant = 'acme'")
    s.run(
        "with changed as materialized (select set_config('fleetflow.tenant', 'riv' || 'al', false) is null as done)"
        " select {cols} from changed, {rel}"
    )
    s.run("select {cols}, set_config('fleetflow.tenant', 'riv' || 'al', false) is null from {rel}")


def switched_midway(s: Session) -> None:
    """The setting changed when a scan knows its tenant and has not asked for rights yet: it has met no row so far."""
    s.run(
        "create function pg_temp.step(n integer) returns text language plpgsql as $f$begin"
        " if n = 1 then return 'nothing'; end if;"
        " perform set_config('fleetflow.tenant', 'riv' || 'al', false); return 'acme-' || 'secret'; end$f$"
    )
    for switch in ("enable_seqscan", "enable_bitmapscan"):
        s.run(f"set {switch} = off")
    for column in s.relation.columns:
        s.run("set fleetflow.tenant = 'acme'")
        s.run(
            "select t.* from (select pg_temp.step(n) as v from generate_series(1, 2) as n offset 0) as o"
            f" cross join lateral (select {{cols}} from {{rel}} as x where x.{column}::text = o.v offset 0) as t"
        )


def plans_of_names(s: Session) -> None:
    """A plan under a tenant that is there counts as one under a tenant that is not."""
    counts = []
    for tenant in (FOREIGN, "nobody"):
        s.run(f"set fleetflow.tenant = '{tenant}'")
        for scan in ("on", "off"):
            s.run(f"set enable_seqscan = {scan}")
            rows = s.run(
                "explain (analyze, costs, timing off, summary off, buffers off) select {cols} from {rel}"
            )
            counts.append([str(row[0]) for row in rows])
    if counts[:2] != counts[2:]:
        s.shown.append(f"'{FOREIGN}': plans tell whether a tenant is there: {counts}")


def role_default(s: Session) -> None:
    s.run("alter role current_user set fleetflow.tenant = 'rival'")
    s.conn.execute("discard all")
    s.select()


AS_ANOTHER_TENANT: tuple[Attempt, ...] = (
    names_another_tenant, names_another_locally, opens_another_tenant, prepared_for_another, cursor_for_another,
    function_with_setting, changed_within_a_query, switched_midway, plans_of_names, role_default,
)  # fmt: skip
"""A login that is bound to one tenant names another: no row of the other may show, and of nobody else."""


_READABLE = """
    select
        c.oid::regclass::text, array_agg(quote_ident(a.attname::text) order by a.attnum),
        bool_and(row_security_active(c.oid)), c.relkind::text
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast') and n.nspname not like 'pg_temp%'
        and c.relkind in ('r', 'v', 'm', 'p', 'f') and has_schema_privilege(n.oid, 'usage')
        and has_column_privilege(c.oid, a.attnum, 'select')
    group by c.oid
    order by 1
"""
_CALLABLE = """
    select p.oid::regproc::text, array(
        select format_type(t, null) from unnest(p.proargtypes::oid[]) with ordinality as u (t, n) order by n
    )
    from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
    where n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg_temp%'
        and has_schema_privilege(n.oid, 'usage') and has_function_privilege(p.oid, 'execute')
        and p.prokind in ('f', 'p')
    order by 1
"""


def readable(conn: psycopg.Connection[tuple[Any, ...]]) -> Iterator[tuple[Relation, bool, str]]:
    """Yield what the session may read, whether row security binds it there, and its kind."""
    for name, columns, is_bound, kind in conn.execute(_READABLE.encode()).fetchall():
        yield Relation(name, tuple(columns)), is_bound, kind


def call_everything(conn: psycopg.Connection[tuple[Any, ...]]) -> list[str]:
    """Call each function that the session may run with words of another tenant; return what they show of it."""
    found: list[str] = []
    for name, types in conn.execute(_CALLABLE.encode()).fetchall():
        for word in ("rival", "*", "acme", "region", "site", "vehicle"):
            arguments = ", ".join(_argument(kind, word) for kind in types)
            session = Session(conn, Relation(name, ("1",)))
            session.run(f"select * from {name}({arguments}) as t")
            found += [f"{name}({arguments}): {text}" for text in session.shown if f"{FOREIGN}-secret" in text]
            conn.rollback()
    return found


def _argument(kind: str, word: str) -> str:
    return {"text": f"'{word}'", "text[]": f"array['{word}', 'rival-secret']"}.get(kind, f"null::{kind}")


def try_all(
    conn: psycopg.Connection[tuple[Any, ...]],
    relation: Relation,
    attempts: Sequence[Attempt],
    forbidden: Sequence[str],
    first: str = "select 1",
) -> list[str]:
    """Try every way on a relation; return what was shown of it that must not be."""
    leaks = []
    notices: list[str] = []

    def listen(notice: psycopg.errors.Diagnostic) -> None:
        notices.append(notice.message_primary or "")

    conn.add_notice_handler(listen)
    for attempt in attempts:
        session = Session(conn, relation)
        session.fresh()
        notices.clear()
        conn.execute(first.encode())
        attempt(session)
        told = [text for text in (*session.shown, *notices) if any(word in text for word in forbidden)]
        leaks += [f"{relation.name}: {attempt.__name__}: {text[:200]}" for text in told[:1]]
    conn.remove_notice_handler(listen)
    conn.rollback()
    conn.execute("discard all")
    return leaks
