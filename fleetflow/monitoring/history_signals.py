"""What can go wrong with what is kept: the lake, backfills, retention, landing's partitions."""

from __future__ import annotations

from fleetflow.monitoring.model import Area, Level, Signal, Unit

SIGNALS = (
    Signal(
        "lake_behind",
        Area.HISTORY,
        "Age of the oldest batch that is not in the lake's tables; compaction runs every hour",
        Unit.SECONDS,
        (),
        (Level("warn", 2 * 3600), Level("error", 6 * 3600)),
        300,
        "what landed {value} ago is not in the lake ({detail})",
        """
        select min(b.landed_at) as since, count(*) || ' batches wait' as detail
        from ops.pending_batch as p join ops.batch as b using (batch_id)
        where p.pipeline = 'lake'
        having count(*) > 0
        """,
    ),
    Signal(
        "backfill_failed",
        Area.HISTORY,
        "1 for each backfill of the last 7 days that failed and was not done again",
        Unit.STATE,
        ("backfill", "feed"),
        (Level("error", 0),),
        0,
        "backfill {backfill} of {feed} failed: {detail}",
        """
        select f.backfill_id::text as backfill, f.feed, 1 as value, coalesce(f.ended_at, f.requested_at) as since,
            coalesce(f.reason, (
                select c.error from ops.backfill_chunk as c
                where c.backfill_id = f.backfill_id and c.state = 'failed' order by c.chunk limit 1
            ), 'no reason given') as detail
        from ops.backfill as f
        where f.state = 'failed' and coalesce(f.ended_at, f.requested_at) > clock_timestamp() - interval '7 days'
        and not exists (
            select from ops.backfill as again
            where again.feed = f.feed and again.from_at <= f.from_at and again.to_at >= f.to_at
            and again.state = 'done' and again.backfill_id > f.backfill_id
        )
        """,
    ),
    Signal(
        "backfill_stuck",
        Area.HISTORY,
        "How long an open backfill has shown no life",
        Unit.SECONDS,
        ("backfill", "feed"),
        (Level("warn", 1800),),
        60,
        "backfill {backfill} of {feed} is open and has shown no life for {value}",
        """
        select f.backfill_id::text as backfill, f.feed,
            greatest(f.requested_at, (
                select max(c.heartbeat_at) from ops.backfill_chunk as c where c.backfill_id = f.backfill_id
            )) as since
        from ops.backfill as f where f.state = 'open'
        """,
    ),
    Signal(
        "retention_refused",
        Area.HISTORY,
        "1 for each thing past its time that retention would not drop when it ran last",
        Unit.STATE,
        ("area", "subject"),
        (Level("warn", 0),),
        0,
        "{subject} ({area}) is past its time and was not dropped: {detail}",
        """
        select newest.area, newest.subject, 1 as value, newest.done_at as since, newest.reason as detail
        from (
            select distinct on (a.area, a.subject) a.area, a.subject, a.action, a.reason, a.done_at
            from ops.retention_action as a
            where a.done_at > clock_timestamp() - interval '26 hours'
            order by a.area, a.subject, a.retention_action_id desc
        ) as newest
        where newest.action = 'refused'
        """,
    ),
    Signal(
        "landing_default_partition",
        Area.HISTORY,
        "Rows that landed on a day without a partition, counted up to 10,000",
        Unit.ROWS,
        ("feed",),
        (Level("warn", 0),),
        0,
        "{value} of {feed} landed on a day without a partition",
        probe="strays",
    ),
    Signal(
        "partition_missing",
        Area.HISTORY,
        "Days among today and tomorrow for which a landing table has no partition",
        Unit.DAYS,
        ("feed",),
        (Level("error", 0),),
        60,
        "{value} without a partition in landing.{feed}: {detail}",
        """
        select parent.relname as feed, count(*) filter (where child.oid is null) as value, null::timestamptz as since,
            string_agg(days.day::text, ', ' order by days.day) filter (where child.oid is null) as detail
        from pg_class as parent
        cross join (
            select (clock_timestamp() at time zone 'UTC')::date + ahead as day from generate_series(0, 1) as ahead
        ) as days
        left join pg_class as child
            on child.relnamespace = parent.relnamespace
            and child.relname = parent.relname || '_' || to_char(days.day, 'YYYYMMDD')
        where parent.relnamespace = 'landing'::regnamespace and parent.relkind = 'p'
        group by parent.relname
        """,
    ),
)
