"""What can go wrong on the way in: streams and landing, the order database's mirror, partners' files."""

from __future__ import annotations

from fleetflow.monitoring.model import Area, Level, Signal, Unit

STREAMS = (
    Signal(
        "stream_lag",
        Area.STREAMS,
        "How far the landing of a shard is behind the newest record of the stream",
        Unit.SECONDS,
        ("stream", "shard"),
        (Level("warn", 60), Level("error", 150)),
        60,
        "shard {shard} of {stream} is landed {value} behind its newest record",
        # A lag that nobody refreshes grows with the clock.
        """
        select l.stream, l.shard, l.millis_behind / 1000.0
            + case when l.expires_at < clock_timestamp()
                then extract(epoch from clock_timestamp() - l.expires_at) else 0 end as value
        from ops.shard_lease as l
        where not l.ended and l.millis_behind is not null
        """,
    ),
    Signal(
        "shard_without_lease",
        Area.STREAMS,
        "How long nobody has read a shard that has to be read",
        Unit.SECONDS,
        ("stream", "shard"),
        (Level("error", 60),),
        30,
        "nobody has read shard {shard} of {stream} for {value}",
        """
        select l.stream, l.shard, least(coalesce(l.expires_at, l.updated_at), clock_timestamp()) as since
        from ops.shard_lease as l
        where not l.ended and (l.owner is null or l.expires_at < clock_timestamp())
        and not exists (
            select from ops.shard_lease as parent
            where parent.stream = l.stream and parent.shard = any(l.parents) and not parent.ended
        )
        """,
    ),
    Signal(
        "landing_stopped",
        Area.STREAMS,
        "How long no landing worker at all has shown life, while there are shards to read",
        Unit.SECONDS,
        (),
        (Level("error", 60),),
        30,
        "no landing worker has shown life for {value}; {detail} wait",
        """
        select greatest(max(l.updated_at), (select max(w.heartbeat_at) from ops.worker as w)) as since,
            count(*) || ' shards' as detail
        from ops.shard_lease as l where not l.ended
        having count(*) > 0
        """,
    ),
    Signal(
        "landing_worker_dead",
        Area.STREAMS,
        "How long a landing worker has been silent that did not sign off; forgotten after an hour",
        Unit.SECONDS,
        ("worker",),
        (Level("warn", 60),),
        60,
        "landing worker {worker} ended without signing off, {value} ago; the others have taken its shards",
        """
        select w.worker, w.heartbeat_at as since from ops.worker as w
        where w.heartbeat_at > clock_timestamp() - interval '1 hour'
        """,
    ),
    Signal(
        "reject_share",
        Area.STREAMS,
        "Share of the lines of the last hour that were refused, of feeds with at least 100 lines",
        Unit.RATIO,
        ("feed",),
        (Level("warn", 0.01), Level("error", 0.05)),
        120,
        "{value} of the lines of {feed} of the last hour were refused ({detail})",
        """
        with landed as (
            select feed, sum(rejected) as rejected, sum(events_read) as lines
            from ops.batch
            where landed_at > clock_timestamp() - interval '1 hour' and source in ('stream', 'partner')
            group by feed having sum(events_read) >= 100
        )
        select l.feed, l.rejected / l.lines as value,
            l.rejected || ' of ' || l.lines || coalesce(', most by ' || often.rule, '') as detail
        from landed as l
        left join lateral (
            select r.rule from ops.rejected as r
            where r.state = 'open' and r.feed = l.feed and l.rejected > 0.01 * l.lines
            and r.rejected_at > clock_timestamp() - interval '1 hour'
            group by r.rule order by count(*) desc, r.rule limit 1
        ) as often on true
        """,
    ),
    Signal(
        "spool_waiting",
        Area.STREAMS,
        "How long lines have lain in a producer's spool below the home without the stream taking them",
        Unit.SECONDS,
        ("stream", "producer"),
        (Level("warn", 120), Level("error", 900)),
        30,
        "lines for {stream} have waited in spool {producer} for {value} ({detail})",
        probe="spool",
    ),
)

ORDERS = (
    Signal(
        "orders_unreachable",
        Area.ORDERS,
        "1 where the order database does not answer",
        Unit.STATE,
        (),
        (Level("error", 0),),
        30,
        "the order database does not answer: {detail}",
        probe="orders",
    ),
    Signal(
        "cdc_pull_late",
        Area.ORDERS,
        "How long ago the last pull from the order database was",
        Unit.SECONDS,
        ("slot",),
        (Level("warn", 300), Level("error", 1800)),
        30,
        "the order database was last read by slot {slot} {value} ago",
        """
        select s.slot,
            coalesce(max(p.started_at + p.seconds * interval '1 second'), s.snapshot_at, s.updated_at) as since
        from ops.cdc_source as s
        left join ops.cdc_pull as p on p.slot = s.slot and p.started_at > clock_timestamp() - interval '7 days'
        group by s.slot
        """,
    ),
    Signal(
        "slot_lag",
        Area.ORDERS,
        "Log that the order database has written and the mirror has not applied",
        Unit.BYTES,
        ("slot",),
        (Level("warn", 256 << 20), Level("error", 2 << 30)),
        300,
        "the mirror is {value} of log behind the order database (slot {slot})",
        probe="orders",
    ),
    Signal(
        "slot_retained_wal",
        Area.ORDERS,
        "Log that the order database keeps on its disk for the slot",
        Unit.BYTES,
        ("slot",),
        (Level("warn", 1 << 30), Level("error", 8 << 30)),
        300,
        "the order database keeps {value} of log for slot {slot}; its disk fills",
        probe="orders",
    ),
    Signal(
        "slot_lost",
        Area.ORDERS,
        "1 where the slot is gone, or log that it needs is about to be dropped or was",
        Unit.STATE,
        ("slot",),
        (Level("error", 0),),
        0,
        "slot {slot} {detail}",
        probe="orders",
    ),
)

PARTNERS = (
    Signal(
        "partner_file_missing",
        Area.PARTNERS,
        "How long a file that was expected has not come; given up after 3 days",
        Unit.SECONDS,
        ("partner", "expected"),
        (Level("error", 0),),
        0,
        "the file that {partner} owes since {expected} has not come",
        """
        select f.partner, to_char(f.expected_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI"Z"') as expected,
            f.expected_at as since
        from ops.partner_file as f
        where f.state = 'missing' and f.expected_at > clock_timestamp() - interval '3 days'
        and not exists (
            select from ops.partner_file as came
            where came.partner = f.partner and came.expected_at = f.expected_at and came.state <> 'missing'
        )
        """,
        page="partner_file_missing",
    ),
    Signal(
        "partner_file_held",
        Area.PARTNERS,
        "How long a partner's file has waited for a decision",
        Unit.SECONDS,
        ("partner", "file"),
        (Level("error", 0),),
        0,
        "file {file} of {partner} is held, {value} now: {detail}",
        """
        select f.partner, f.name as file, coalesce(f.ended_at, f.whole_at, f.seen_at) as since,
            coalesce(f.reason, 'no reason given') as detail
        from ops.partner_file as f
        where f.state = 'held' and not exists (
            select from ops.partner_file as later
            where later.partner = f.partner and later.name = f.name and later.state = 'loaded'
            and later.file_id > f.file_id
        )
        """,
        page="partner_file_held",
    ),
    Signal(
        "partner_file_refused",
        Area.PARTNERS,
        "How long ago a partner's file was refused that was not sent again; forgotten after 7 days",
        Unit.SECONDS,
        ("partner", "file"),
        (Level("error", 0),),
        0,
        "file {file} of {partner} was refused {value} ago: {detail}",
        """
        select f.partner, f.name as file, coalesce(f.ended_at, f.seen_at) as since,
            coalesce(f.reason, 'no reason given') as detail
        from ops.partner_file as f
        where f.state = 'refused' and coalesce(f.ended_at, f.seen_at) > clock_timestamp() - interval '7 days'
        and not exists (
            select from ops.partner_file as later
            where later.partner = f.partner and later.name = f.name and later.file_id > f.file_id
        )
        """,
        page="partner_file_refused",
    ),
    Signal(
        "partner_file_stuck",
        Area.PARTNERS,
        "How long a file has been seen at a partner's without being loaded, held or refused",
        Unit.SECONDS,
        ("partner", "file"),
        (Level("warn", 6 * 3600),),
        60,
        "file {file} of {partner} was seen {value} ago and is still {detail}",
        """
        select f.partner, f.name as file, f.seen_at as since, f.state as detail
        from ops.partner_file as f
        where f.state in ('seen', 'whole') and f.seen_at > clock_timestamp() - interval '30 days'
        """,
    ),
    Signal(
        "partner_watch_late",
        Area.PARTNERS,
        "How long ago anybody looked into a partner's directory for the last time",
        Unit.SECONDS,
        ("partner",),
        (Level("warn", 3600), Level("error", 6 * 3600)),
        60,
        "nobody has looked for files of {partner} for {value}",
        "select w.partner, w.looked_at as since from ops.partner_watch as w",
    ),
    Signal(
        "sftp_unreachable",
        Area.PARTNERS,
        "1 where an SFTP server of partners' files does not answer",
        Unit.STATE,
        ("server",),
        (Level("error", 0),),
        120,
        "SFTP server {server} does not answer: {detail}",
        probe="sftp",
    ),
)

SIGNALS = (*STREAMS, *ORDERS, *PARTNERS)
