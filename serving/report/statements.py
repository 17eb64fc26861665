"""The SQL of the morning report, all of it. Marts are read for one tenant; `ops` is the whole platform's.

Parameters: tenant, report_date, from_date (7 days before), as_of, since (24 hours before), pipeline, limit.
Times that depend on "now" go through ops.as_of(), which `begin` sets.
"""

from __future__ import annotations

# dbt replaces a table by renaming a new one over it, and a snapshot taken before would then find it empty.
# So the tables are held first and the snapshot is taken after: the whole page is of one moment.
BEGIN = (
    "set transaction isolation level repeatable read, read only",
    "set local timezone = 'UTC'",
    "set local lock_timeout = '60s'",
    "lock table marts.fct_shipment, marts.fct_on_time_daily, marts.fct_delivery_exception, marts.dim_site,"
    " reports.rpt_morning_sla, marts.fct_shipment_sla in access share mode",
)

CLOCK = "select coalesce(%(as_of)s, now()), clock_timestamp()"

SCOPE = (
    "select set_config('fleetflow.as_of', %(as_of)s, true), set_config('fleetflow.tenant', %(tenant)s, true)"
)

SLA = """
select dimension, member, due, delivered, on_time, late, open, on_time_share, target_share, share_7d
from reports.rpt_morning_sla
where tenant_id = %(tenant)s and report_date = %(report_date)s
order by dimension, member
"""

DAYS = """
select
    case
        when grouping(region) = 0 then 'region'
        when grouping(carrier_id) = 0 then 'carrier'
        when grouping(service_level) = 0 then 'service_level'
        else 'all'
    end as dimension,
    case
        when grouping(region) = 0 then coalesce(region, 'unknown')
        when grouping(carrier_id) = 0 then coalesce(carrier_id, 'unknown')
        when grouping(service_level) = 0 then coalesce(service_level, 'unknown')
        else 'all'
    end as member,
    promised_date,
    sum(due)::bigint as due,
    sum(on_time)::bigint as on_time
from marts.fct_on_time_daily
where tenant_id = %(tenant)s and promised_date between %(from_date)s and %(report_date)s
group by grouping sets (
    (promised_date), (promised_date, region), (promised_date, carrier_id), (promised_date, service_level)
)
order by 1, 2, 3
"""

# Reads the table beneath fct_shipment_sla, whose breach reasons cost a lookup a shipment, by the same rules.
LANES = """
with promised as (
    select
        lane,
        promised_date,
        status,
        status = 'delivered' and delivered_at <= promised_at as is_on_time,
        status = 'delivered' and delivered_at > promised_at as is_late,
        floor(extract(epoch from delivered_at - promised_at) / 60) as minutes_late
    from marts.fct_shipment
    where
        tenant_id = %(tenant)s
        and promised_date between %(from_date)s and %(report_date)s
        and in_order_system
        and status <> 'cancelled'
),

worst as (
    select
        lane,
        count(*) as due,
        count(*) filter (where is_on_time) as on_time,
        count(*) filter (where is_late) as late,
        count(*) filter (where status not in ('delivered', 'returned')) as open,
        avg(minutes_late) filter (where is_late)::float8 as minutes_late,
        count(*) over () as lanes_total
    from promised
    where promised_date = %(report_date)s
    group by lane
    having count(*) > count(*) filter (where is_on_time)
    order by count(*) - count(*) filter (where is_on_time) desc,
        count(*) filter (where is_on_time)::float8 / count(*), lane
    limit %(limit)s
),

before as (
    select lane, count(*) as due, count(*) filter (where is_on_time) as on_time
    from promised
    where promised_date < %(report_date)s and lane in (select worst.lane from worst)
    group by lane
)

select
    worst.lane,
    worst.due,
    worst.on_time,
    worst.late,
    worst.open,
    worst.minutes_late,
    coalesce(before.due, 0) as due_7d,
    coalesce(before.on_time, 0) as on_time_7d,
    worst.lanes_total
from worst
left join before on worst.lane = before.lane
order by worst.due - worst.on_time desc, worst.on_time::float8 / worst.due, worst.lane
"""

# `status not in (...)` says nothing new; it is what an index on the open shipments can be matched with.
RISK_TOTALS = """
select
    count(*) filter (where is_at_risk) as total,
    count(*) as open_total,
    count(*) filter (where sla_state = 'overdue') as overdue_total,
    min(promised_at) filter (where sla_state = 'overdue') as oldest_overdue_at
from marts.fct_shipment_sla
where tenant_id = %(tenant)s and is_open and status not in ('delivered', 'returned', 'cancelled')
"""

RISKS = """
with urgent as (
    select *
    from marts.fct_shipment_sla
    where tenant_id = %(tenant)s and is_at_risk and status not in ('delivered', 'returned', 'cancelled')
    order by promised_at, shipment_id
    limit %(limit)s
)

select
    urgent.shipment_id,
    urgent.carrier_id,
    urgent.service_level,
    urgent.mode,
    urgent.region,
    urgent.lane,
    shipment.vehicle_id,
    urgent.status,
    urgent.status_at,
    urgent.promised_at,
    urgent.minutes_to_promise::integer
from urgent
inner join marts.fct_shipment as shipment
    on urgent.tenant_id = shipment.tenant_id and urgent.shipment_id = shipment.shipment_id
order by urgent.promised_at, urgent.shipment_id
"""

SITES = """
select site_id, coalesce(nullif(name, ''), site_id)
from marts.dim_site
where tenant_id = %(tenant)s and site_id = any(%(sites)s)
"""

EXCEPTIONS = """
select
    kind,
    reason_code,
    max(reason) as reason,
    count(*) filter (where occurred_date = %(report_date)s) as count,
    count(*) filter (where occurred_date = %(report_date)s and resolved_at is null) as unresolved,
    percentile_cont(0.5) within group (order by minutes_to_resolve)
        filter (where occurred_date = %(report_date)s) as minutes_to_resolve,
    count(*) filter (where occurred_date < %(report_date)s) as count_7d
from marts.fct_delivery_exception
where tenant_id = %(tenant)s and occurred_date between %(from_date)s and %(report_date)s
group by kind, reason_code
having count(*) filter (where occurred_date = %(report_date)s) > 0
order by 4 desc, 1, 2
"""

RUNS = """
select finished_at, events, freshness_p50_s, freshness_p95_s, freshness_p99_s
from ops.transform_run
where
    pipeline = %(pipeline)s
    and state = 'done'
    and started_at > %(since)s - interval '1 hour'
    and finished_at > %(since)s
    and finished_at <= %(as_of)s
    and num_nulls(freshness_p50_s, freshness_p95_s, freshness_p99_s) = 0
order by finished_at, started_at
"""

RUN_COUNTS = """
select
    count(*) filter (where state = 'done') as done,
    count(*) filter (where state = 'failed') as failed,
    count(*) filter (where state = 'held') as held,
    max(finished_at) filter (where state = 'done' and finished_at <= %(as_of)s) as last_done_at,
    (select count(*) from ops.pending_batch as waiting where waiting.pipeline = %(pipeline)s) as pending,
    (
        select min(batch.landed_at)
        from ops.pending_batch as waiting
        inner join ops.batch as batch on waiting.batch_id = batch.batch_id
        where waiting.pipeline = %(pipeline)s and waiting.priority = 0
    ) as oldest_pending_at
from ops.transform_run
where pipeline = %(pipeline)s and started_at > %(since)s and started_at <= %(as_of)s
"""

FEEDS = """
select
    feed,
    sum(events_read)::bigint as events_read,
    sum(accepted)::bigint as accepted,
    sum(rejected)::bigint as rejected,
    max(landed_at) as last_landed_at
from ops.batch
where landed_at > %(since)s and landed_at <= %(as_of)s and source <> 'replay'
group by feed
order by feed
"""

REJECTS = """
select feed, rule, count(*) as count, count(*) filter (where state = 'open') as open
from ops.rejected
where rejected_at > %(since)s and rejected_at <= %(as_of)s
group by feed, rule
order by 3 desc, 1, 2
"""

CHECKS_TOTAL = """
select count(*) from (
    select distinct suite, check_name, subject
    from ops.check_result
    where
        checked_at > %(since)s and checked_at <= %(as_of)s
        and (tenant_id is null or tenant_id = %(tenant)s)
) as ran
"""

FAILED_CHECKS = """
select
    suite,
    check_name,
    subject,
    (array_agg(severity order by checked_at desc, check_result_id desc) filter (where not passed))[1],
    count(*) filter (where not passed) as failures,
    count(*) as runs,
    not (array_agg(passed order by checked_at desc, check_result_id desc))[1] as failing_now,
    max(checked_at) filter (where not passed) as failed_at,
    (array_agg(detail order by checked_at desc, check_result_id desc) filter (where not passed))[1] as detail
from ops.check_result
where
    checked_at > %(since)s and checked_at <= %(as_of)s
    and (tenant_id is null or tenant_id = %(tenant)s)
group by suite, check_name, subject
having bool_or(not passed)
order by 7 desc, 4, 8 desc, 1, 2, 3
"""

VERIFIED = """
with known as (
    select feed from ops.verified_through
    union
    select feed from ops.reconciliation where checked_at > %(since)s
)

select
    known.feed,
    max(v.verified_through) filter (where v.grain = 'hour') as hours_through,
    max(v.verified_through) filter (where v.grain = 'day') as days_through,
    (
        select count(*) from ops.reconciliation_standing as s
        where s.feed = known.feed and s.verdict not in ('passed', 'repaired')
    ) as open
from known
left join ops.verified_through as v on known.feed = v.feed
group by known.feed
order by known.feed
"""

OPEN_WINDOWS = """
select
    feed,
    grain,
    window_start,
    verdict,
    attempt,
    array(select d ->> 'words' from jsonb_array_elements(differences) with ordinality as l (d, n) order by n limit 3),
    jsonb_array_length(differences),
    count(*) over () as total
from ops.reconciliation_standing
where verdict not in ('passed', 'repaired') and checked_at <= %(as_of)s
order by window_start desc, feed, grain
limit %(limit)s
"""

REPAIRED_WINDOWS = """
select feed, grain, window_start, checked_at, array(select jsonb_array_elements_text(repairs))
from ops.reconciliation_standing
where verdict = 'repaired' and checked_at > %(since)s and checked_at <= %(as_of)s
order by checked_at desc, feed, grain
limit %(limit)s
"""

RECONCILED_AT = "select max(checked_at) from ops.reconciliation where checked_at <= %(as_of)s"

# A slot that was last pulled a week ago is gone, not late.
CDC = """
select distinct on (slot) slot, started_at, seconds, changes, lag_bytes, retained_bytes
from ops.cdc_pull
where started_at > %(as_of)s - interval '7 days' and started_at <= %(as_of)s
order by slot, started_at desc, pull_id desc
"""
