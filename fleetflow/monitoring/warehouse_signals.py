"""What can go wrong between landing and the marts, and what the checks and the reconciliation say."""

from __future__ import annotations

from fleetflow.monitoring.model import Area, Level, Signal, Unit

WAREHOUSE = (
    Signal(
        "microbatch_late",
        Area.WAREHOUSE,
        "Age of the oldest live batch that no run has brought into the marts; held batches are counted elsewhere",
        Unit.SECONDS,
        ("pipeline",),
        (Level("warn", 120), Level("error", 300)),
        30,
        "batches of pipeline {pipeline} wait for {value} ({detail})",
        """
        select p.pipeline, min(b.landed_at) as since, count(*) || ' batches' as detail
        from ops.pending_batch as p
        join ops.batch as b using (batch_id)
        left join ops.transform_run as r using (run_id)
        where p.pipeline = 'shipments' and p.priority = 0 and r.state is distinct from 'held'
        group by p.pipeline
        """,
    ),
    Signal(
        "vehicles_behind",
        Area.WAREHOUSE,
        "Age of the oldest live batch that is not in the marts of vehicles and drivers; they are built every hour",
        Unit.SECONDS,
        (),
        (Level("warn", 3 * 3600), Level("error", 8 * 3600)),
        300,
        "what vehicles sent {value} ago is not in their marts ({detail})",
        """
        select min(b.landed_at) as since, count(*) || ' batches wait' as detail
        from ops.pending_batch as p join ops.batch as b using (batch_id)
        left join ops.transform_run as r using (run_id)
        where p.pipeline = 'vehicles' and p.priority = 0 and r.state is distinct from 'held'
        having count(*) > 0
        """,
    ),
    Signal(
        "decoder_refused",
        Area.WAREHOUSE,
        "How long ago a decoder of the CAN manifest was found to have faults; its vehicles' frames are not decoded",
        Unit.SECONDS,
        ("decoder",),
        (Level("error", 0),),
        0,
        "CAN frames are not decoded: decoder {decoder} is refused for {value} ({detail})",
        """
        select decoder, refused_at as since,
            array_to_string(models, ', ') || ' (' || left(reason, 200) || ')' as detail
        from intermediate.int_decoder_refused
        """,
    ),
    Signal(
        "transform_held",
        Area.WAREHOUSE,
        "How long a run has been held by the gate, its batches kept out of the marts",
        Unit.SECONDS,
        ("pipeline", "run"),
        (Level("error", 0),),
        0,
        "run {run} of pipeline {pipeline} has been held for {value}: {detail}",
        """
        select r.pipeline, r.run_id::text as run, coalesce(r.finished_at, r.started_at) as since,
            coalesce(r.error, 'no reason given') as detail
        from ops.transform_run as r
        where r.run_id in (select p.run_id from ops.pending_batch as p where p.run_id is not null)
        and r.state = 'held'
        """,
    ),
    Signal(
        "transform_failing",
        Area.WAREHOUSE,
        "Runs of a pipeline that failed one after the other, since the last good one",
        Unit.RUNS,
        ("pipeline",),
        (Level("warn", 1), Level("error", 2)),
        0,
        "{value} of pipeline {pipeline} failed in a row; the last: {detail}",
        """
        select r.pipeline, count(*) as value, min(r.started_at) as since,
            (array_agg(coalesce(r.error, 'no reason given') order by r.started_at desc))[1] as detail
        from ops.transform_run as r
        where r.state = 'failed' and r.started_at > clock_timestamp() - interval '1 day'
        and not exists (
            select from ops.transform_run as good
            where good.pipeline = r.pipeline and good.state = 'done' and good.started_at > r.started_at
            and good.started_at > clock_timestamp() - interval '1 day'
        )
        group by r.pipeline
        """,
    ),
    Signal(
        "freshness",
        Area.WAREHOUSE,
        "Time from sending to marts of 99 of 100 shipment events, the worst run of the last 10 minutes",
        Unit.SECONDS,
        ("pipeline",),
        (Level("error", 180),),
        300,
        "one in a hundred shipment events takes more than {value} to the marts of {pipeline}; promised are 3 min",
        """
        select r.pipeline, max(r.freshness_p99_s) as value, null::timestamptz as since
        from ops.transform_run as r
        where r.state = 'done' and r.started_at > clock_timestamp() - interval '1 hour'
        and r.finished_at > clock_timestamp() - interval '10 minutes' and r.freshness_p99_s is not null
        group by r.pipeline
        """,
    ),
)

QUALITY = (
    Signal(
        "check_failed",
        Area.QUALITY,
        "1 for each check of severity error whose newest verdict is a failure",
        Unit.STATE,
        ("suite", "subject", "check"),
        (Level("error", 0),),
        0,
        "check {check} on {subject} fails in suite {suite}: {detail}",
        probe="checks",
    ),
    Signal(
        "checks_late",
        Area.QUALITY,
        "How long ago the nightly suite ran last",
        Unit.SECONDS,
        ("suite",),
        (Level("warn", 26 * 3600),),
        300,
        "suite {suite} ran last {value} ago",
        """
        select c.suite, max(c.checked_at) as since
        from ops.check_result as c
        where c.suite = 'nightly' and c.checked_at > clock_timestamp() - interval '30 days'
        group by c.suite
        """,
    ),
    Signal(
        "reconciliation_open",
        Area.QUALITY,
        "Windows of the last 180 days whose newest reconciliation differs, or could not count",
        Unit.WINDOWS,
        ("feed", "grain"),
        (Level("error", 0),),
        0,
        "{value} of {feed} (by the {grain}) do not add up: {detail}",
        """
        with newest as (
            select distinct on (r.feed, r.grain, r.window_start)
                r.feed, r.grain, r.window_start, r.verdict, r.checked_at
            from ops.reconciliation as r
            where r.window_start > clock_timestamp() - interval '180 days'
            order by r.feed, r.grain, r.window_start, r.attempt desc
        )
        select n.feed, n.grain, count(*) as value, min(n.checked_at) as since,
            'first ' || (array_agg(n.verdict order by n.window_start))[1] || ' at '
            || to_char(min(n.window_start) at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"') as detail
        from newest as n
        where n.verdict in ('differs', 'not_counted')
        group by n.feed, n.grain
        """,
    ),
    Signal(
        "reconciliation_late",
        Area.QUALITY,
        "How far verification is behind what is allowed: 3 hours for hours, 30 hours for days",
        Unit.SECONDS,
        ("feed", "grain"),
        (Level("error", 0),),
        300,
        "{feed} is verified (by the {grain}) only to {detail}: {value} later than it should be",
        """
        select v.feed, v.grain,
            greatest(0, extract(epoch from clock_timestamp() - v.verified_through
                - case v.grain when 'hour' then interval '3 hours' else interval '30 hours' end)) as value,
            v.verified_through
                + case v.grain when 'hour' then interval '3 hours' else interval '30 hours' end as since,
            to_char(v.verified_through at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"') as detail
        from ops.verified_through as v
        """,
    ),
)

SIGNALS = (*WAREHOUSE, *QUALITY)
