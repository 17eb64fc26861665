"""What can go wrong below and around the data: Postgres, the disk, AWS, Airflow, and the watching itself."""

from __future__ import annotations

from fleetflow.monitoring.model import Area, Level, Signal, Unit

MACHINE = (
    Signal(
        "warehouse_unreachable",
        Area.MACHINE,
        "1 where the warehouse's Postgres does not answer",
        Unit.STATE,
        (),
        (Level("error", 0),),
        10,
        "the warehouse's Postgres does not answer: {detail}",
        probe="warehouse",
        resolve_s=10,
    ),
    Signal(
        "aws_unreachable",
        Area.MACHINE,
        "1 where a stream, bucket or topic of the settings cannot be used",
        Unit.STATE,
        ("service",),
        (Level("error", 0),),
        30,
        "{service} cannot be used: {detail}",
        probe="aws",
    ),
    Signal(
        "disk_used",
        Area.MACHINE,
        "Used share of the disk under the state directory",
        Unit.RATIO,
        ("path",),
        (Level("warn", 0.85), Level("error", 0.95)),
        60,
        "the disk under {path} is {value} full ({detail})",
        probe="disk",
    ),
    Signal(
        "connections_used",
        Area.MACHINE,
        "Used share of the connections that the warehouse's Postgres gives to ordinary roles",
        Unit.RATIO,
        (),
        (Level("warn", 0.75), Level("error", 0.9)),
        60,
        "{value} of the Postgres connections are in use ({detail})",
        """
        select used.open::float8 / most.allowed as value, used.open || ' of ' || most.allowed as detail
        from (select count(*) as open from pg_stat_activity where backend_type = 'client backend') as used,
        (
            select current_setting('max_connections')::int
                - current_setting('superuser_reserved_connections')::int
                - current_setting('reserved_connections')::int as allowed
        ) as most
        """,
    ),
    Signal(
        "long_transaction",
        Area.MACHINE,
        "Age of the oldest open transaction of a role in the warehouse",
        Unit.SECONDS,
        ("role",),
        (Level("warn", 1800), Level("error", 7200)),
        60,
        "{role} has had a transaction open for {value} ({detail})",
        """
        select a.usename::text as role, min(a.xact_start) as since,
            'pid ' || (array_agg(a.pid order by a.xact_start))[1] || ', '
            || (array_agg(coalesce(a.state, 'unknown') order by a.xact_start))[1] as detail
        from pg_stat_activity as a
        where a.xact_start is not null and a.backend_type = 'client backend'
        and a.datname = current_database() and a.pid <> pg_backend_pid()
        group by a.usename
        """,
    ),
    Signal(
        "lock_waiting",
        Area.MACHINE,
        "How long a statement in the warehouse has waited for a lock",
        Unit.SECONDS,
        ("role",),
        (Level("warn", 60), Level("error", 600)),
        30,
        "a statement of {role} has waited for a lock for {value} ({detail})",
        """
        select a.usename::text as role, min(l.waitstart) as since,
            'pid ' || (array_agg(a.pid order by l.waitstart))[1] || ' waits for pid '
            || (array_agg(array_to_string(pg_blocking_pids(a.pid), ', ') order by l.waitstart))[1] as detail
        from pg_locks as l join pg_stat_activity as a using (pid)
        where not l.granted and l.waitstart is not null and a.datname = current_database()
        group by a.usename
        """,
    ),
    Signal(
        "transaction_ids_used",
        Area.MACHINE,
        "Share of the transaction ids used up since the oldest row was frozen; at 1 Postgres stops writing",
        Unit.RATIO,
        ("database",),
        (Level("warn", 0.5), Level("error", 0.8)),
        600,
        "database {database} has used {value} of its transaction ids",
        """
        select d.datname::text as database, age(d.datfrozenxid) / 2147483648.0 as value
        from pg_database as d where d.datallowconn
        """,
    ),
)

PLATFORM = (
    Signal(
        "airflow_unhealthy",
        Area.PLATFORM,
        "1 for each part of Airflow that is not healthy",
        Unit.STATE,
        ("component",),
        (Level("error", 0),),
        60,
        "Airflow's {component} is not healthy: {detail}",
        probe="airflow",
    ),
    Signal(
        "dag_failing",
        Area.PLATFORM,
        "Runs of a DAG that failed one after the other, up to the newest",
        Unit.RUNS,
        ("dag",),
        (Level("warn", 1), Level("error", 4)),
        0,
        "{value} of DAG {dag} failed one after the other, up to the newest",
        probe="dags",
        resolve_s=300,
    ),
    Signal(
        "dag_broken",
        Area.PLATFORM,
        "1 for each file of DAGs that Airflow cannot import",
        Unit.STATE,
        ("file",),
        (Level("error", 0),),
        60,
        "Airflow cannot import {file}, its DAGs do not run or run as they were: {detail}",
        probe="dags",
    ),
    Signal(
        "dag_late",
        Area.PLATFORM,
        "How long a DAG's next run is overdue",
        Unit.SECONDS,
        ("dag",),
        (Level("warn", 300), Level("error", 1800)),
        120,
        "DAG {dag} should have run {value} ago",
        probe="dags",
    ),
    Signal(
        "dag_paused",
        Area.PLATFORM,
        "1 for each DAG that is paused",
        Unit.STATE,
        ("dag",),
        (Level("warn", 0),),
        900,
        "DAG {dag} is paused: nothing of it runs",
        probe="dags",
    ),
    Signal(
        "not_delivered",
        Area.PLATFORM,
        "Age of the oldest notice that a channel has not taken",
        Unit.SECONDS,
        ("channel",),
        (Level("error", 120),),
        0,
        "channel {channel} has not taken a notice for {value}: {detail}",
        """
        select n.channel, min(n.queued_at) as since,
            count(*) || ' notices, ' || coalesce(max(n.error), 'not tried yet') as detail
        from ops.alert_notice as n where n.sent_at is null
        group by n.channel
        """,
    ),
    Signal(
        "health_check_stopped",
        Area.PLATFORM,
        "How long ago the platform was last looked at by what raises alerts",
        Unit.SECONDS,
        (),
        (Level("error", 600),),
        120,
        "nothing has looked at the platform for {value}: faults are not reported",
        "select max(c.checked_at) as since from ops.health_check as c having count(*) > 0",
    ),
    Signal(
        "signal_unmeasured",
        Area.PLATFORM,
        "1 for each signal that could not be measured, for a reason that no other signal explains",
        Unit.STATE,
        ("signal",),
        (Level("warn", 0),),
        120,
        "signal {signal} cannot be measured: {detail}",
        probe="unmeasured",
    ),
)

SIGNALS = (*MACHINE, *PLATFORM)
