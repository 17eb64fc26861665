"""What breaks each signal that is measured in the warehouse, and what heals it: plain SQL, run as the owner."""

from __future__ import annotations

from dataclasses import dataclass

from quality.suites import SUITES

_CHECK = next(check for check in SUITES["nightly"] if check.severity == "error")
_VERDICT = (
    "insert into ops.check_result (suite, check_name, subject, severity, passed, detail, checked_at)"
    f" values ('nightly', '{_CHECK.name}', '{_CHECK.subject}', 'error', "
)
_RUN = "insert into ops.transform_run (pipeline, claimed_by, state, started_at, finished_at, freshness_p99_s, error)"
_RETENTION = "insert into ops.retention_action (area, subject, action, reason, done_at) values ('raw', 'gps_location', "
_RECONCILED = (
    "insert into ops.reconciliation (feed, grain, window_start, window_end, attempt, verdict, counts)"
    " select 'gps_location', 'hour', h, h + interval '1 hour', {attempt}, '{verdict}', '{{}}'"
    " from (select date_trunc('hour', now()) - interval '5 hours' as h) as w"
)
_FILE = (
    "insert into ops.partner_file (partner, tenant_id, feed, name, sha256, state, reason, expected_at, seen_at,"
    " ended_at) values"
)
_STRAY = (
    "insert into landing.fuel_purchase (tenant_id, event_id, recorded_at, schema_version, partner, source_line,"
    " transaction_id, vehicle_id, purchased_at, fuel, batch_id, line, arrived_at)"
    " values ('acme', 'e1', now(), 1, 'p', 1, 't1', 'v1', now(), 'diesel', 1, 1, now() + interval '900 days')"
)
_TOMORROW = "(now() at time zone 'UTC')::date + 1"


def batch(feed: str, age: str, *, accepted: int = 10, rejected: int = 0) -> str:
    return (
        "insert into ops.batch (source, feed, events_read, accepted, rejected, worker, landed_at, first_arrived_at,"
        f" last_arrived_at) values ('stream', '{feed}', {accepted + rejected}, {accepted}, {rejected}, 'w1',"
        f" now() - interval '{age}', now() - interval '{age}', now() - interval '{age}')"
    )


@dataclass(frozen=True)
class Case:
    """A signal, the subject that is found, and what a person is told among other things."""

    signal: str
    subject: str
    breaks: str
    heals: str
    words: str
    severity: str = "error"


CASES = (
    Case(
        "stream_lag",
        "s/0",
        "insert into ops.shard_lease (stream, shard, owner, expires_at, millis_behind)"
        " values ('s', '0', 'w1', now() + interval '1 hour', 240000)",
        "update ops.shard_lease set millis_behind = 0",
        "4 min",
    ),
    Case(
        "shard_without_lease",
        "s/0",
        "insert into ops.shard_lease (stream, shard, owner, expires_at)"
        " values ('s', '0', 'w1', now() - interval '10 min')",
        "update ops.shard_lease set expires_at = now() + interval '1 hour'",
        "nobody has read shard 0 of s for 10 min",
    ),
    Case(
        "landing_stopped",
        "platform",
        "insert into ops.shard_lease (stream, shard, updated_at) values ('s', '0', now() - interval '10 min'),"
        " ('s', '1', now() - interval '10 min')",
        "insert into ops.worker (worker) values ('w1')",
        "2 shards wait",
    ),
    Case(
        "landing_worker_dead",
        "w1",
        "insert into ops.worker (worker, heartbeat_at) values ('w1', now() - interval '10 min')",
        "delete from ops.worker",
        "worker w1",
        "warn",
    ),
    Case(
        "reject_share",
        "gps_location",
        batch("gps_location", "5 min", accepted=900, rejected=100)
        + "; insert into ops.rejected (batch_id, feed, rule, detail, raw)"
        " select batch_id, feed, 'lat.between', 'lat is 91', 'x' from ops.batch",
        batch("gps_location", "1 min", accepted=99_000),
        "10.0% of the lines of gps_location of the last hour were refused (100 of 1000, most by lat.between)",
    ),
    Case(
        "cdc_pull_late",
        "fleetflow",
        "insert into ops.cdc_source (slot, publication, snapshot_at)"
        " values ('fleetflow', 'p', now() - interval '1 hour')",
        "insert into ops.cdc_pull (slot, epoch, kind, started_at, seconds, changes)"
        " values ('fleetflow', 1, 'pull', now(), 0.1, 0)",
        "1 h ago",
    ),
    Case(
        "partner_file_missing",
        "northfuel/<when>",
        f"{_FILE} ('northfuel', 'acme', 'fuel_purchase', '', null, 'missing', null,"
        " date_trunc('day', now()) - interval '18 hours', now(), null)",
        "update ops.partner_file set state = 'loaded', is_late = true, lines = 0, accepted = 0, rejected = 0,"
        " unchanged = 0",
        "northfuel owes",
    ),
    Case(
        "partner_file_held",
        "northfuel/fuel_1.csv",
        f"{_FILE} ('northfuel', 'acme', 'fuel_purchase', 'fuel_1.csv', 'a', 'held', 'column volume is gone', null,"
        " now() - interval '1 hour', now() - interval '1 hour')",
        "update ops.partner_file set state = 'whole'",
        "column volume is gone",
    ),
    Case(
        "partner_file_refused",
        "northfuel/fuel_1.csv",
        f"{_FILE} ('northfuel', 'acme', 'fuel_purchase', 'fuel_1.csv', 'r', 'refused', 'checksum is wrong', null,"
        " now() - interval '1 hour', now() - interval '1 hour')",
        f"{_FILE} ('northfuel', 'acme', 'fuel_purchase', 'fuel_1.csv', 'b', 'whole', null, null, now(), null)",
        "checksum is wrong",
    ),
    Case(
        "partner_file_stuck",
        "northfuel/fuel_1.csv",
        f"{_FILE} ('northfuel', 'acme', 'fuel_purchase', 'fuel_1.csv', null, 'seen', null, null,"
        " now() - interval '7 hours', null)",
        "update ops.partner_file set state = 'refused'",
        "still seen",
        "warn",
    ),
    Case(
        "partner_watch_late",
        "northfuel",
        "insert into ops.partner_watch (partner, watched_from, judged_through, looked_at)"
        " values ('northfuel', now() - interval '2 days', now() - interval '1 day', now() - interval '7 hours')",
        "update ops.partner_watch set looked_at = now()",
        "7 h",
    ),
    Case(
        "microbatch_late",
        "shipments",
        batch("shipment_event", "10 min"),
        "delete from ops.pending_batch",
        "1 batches",
    ),
    Case(
        "vehicles_behind",
        "platform",
        batch("gps_location", "9 hours"),
        "delete from ops.pending_batch",
        "1 batches wait",
    ),
    Case(
        "decoder_refused",
        "city_van@2",
        "insert into intermediate.int_decoder_refused (decoder, models, reason, manifest_version, refused_at)"
        " values ('city_van@2', '{city_van}', 'no DBC', 1, now() - interval '10 min')",
        "delete from intermediate.int_decoder_refused",
        "city_van (no DBC)",
    ),
    Case(
        "transform_held",
        "shipments/11111111-1111-1111-1111-111111111111",
        batch("shipment_event", "10 min")
        + "; insert into ops.transform_run (run_id, pipeline, claimed_by, state, finished_at, error)"
        " values ('11111111-1111-1111-1111-111111111111', 'shipments', 't', 'held', now(), 'no driver ids');"
        " update ops.pending_batch set run_id = '11111111-1111-1111-1111-111111111111' where pipeline = 'shipments'",
        "update ops.pending_batch set run_id = null",
        "no driver ids",
    ),
    Case(
        "transform_failing",
        "shipments",
        f"{_RUN} select 'shipments', 't', 'failed', now() - n * interval '5 min', now(), null, 'dbt: n' || n"
        " from generate_series(1, 3) as n",
        f"{_RUN} values ('shipments', 't', 'done', now(), now(), 10, null)",
        "3 runs of pipeline shipments failed in a row; the last: dbt: n1",
    ),
    Case(
        "freshness",
        "shipments",
        f"{_RUN} values ('shipments', 't', 'done', now() - interval '2 min', now(), 400, null)",
        f"update ops.transform_run set finished_at = now() - interval '11 min';"
        f" {_RUN} values ('shipments', 't', 'done', now(), now(), 20, null)",
        "6 min 40 s",
    ),
    Case(
        "check_failed",
        f"nightly/{_CHECK.subject}/{_CHECK.name}",
        _VERDICT + "false, '3 rows', now() - interval '5 min')",
        _VERDICT + "true, 'none', now())",
        "3 rows",
    ),
    Case(
        "checks_late",
        "nightly",
        _VERDICT + "true, 'none', now() - interval '30 hours')",
        _VERDICT + "true, 'none', now())",
        "1 d 6 h ago",
        "warn",
    ),
    Case(
        "reconciliation_open",
        "gps_location/hour",
        _RECONCILED.format(attempt=1, verdict="not_counted"),
        _RECONCILED.format(attempt=2, verdict="repaired"),
        "first not_counted at",
    ),
    Case(
        "reconciliation_late",
        "gps_location/hour",
        "insert into ops.verified_through (feed, grain, verified_from, verified_through)"
        " values ('gps_location', 'hour', now() - interval '9 hours', now() - interval '5 hours'),"
        " ('gps_location', 'day', now() - interval '9 days', now() - interval '20 hours')",
        "update ops.verified_through set verified_through = now()",
        "2 h later",
    ),
    Case(
        "lake_behind",
        "platform",
        batch("gps_location", "7 hours"),
        "delete from ops.pending_batch",
        "1 batches wait",
    ),
    Case(
        "backfill_failed",
        "1/gps_location",
        "insert into ops.backfill (feed, from_at, to_at, state, requested_by, ended_at, reason)"
        " values ('gps_location', now() - interval '2 days', now() - interval '1 day', 'failed', 'me', now(),"
        " 'chunk 3 differs')",
        "insert into ops.backfill (feed, from_at, to_at, state, requested_by, ended_at)"
        " select feed, from_at, to_at, 'done', 'me', now() from ops.backfill",
        "chunk 3 differs",
    ),
    Case(
        "backfill_stuck",
        "1/gps_location",
        "insert into ops.backfill (feed, from_at, to_at, requested_by, requested_at)"
        " values ('gps_location', now() - interval '2 days', now() - interval '1 day', 'me',"
        " now() - interval '1 hour')",
        "insert into ops.backfill_chunk (backfill_id, chunk, from_at, to_at, arm, rows_expected, heartbeat_at)"
        " values (1, 1, now() - interval '2 days', now() - interval '1 day', 'lake', 10, now())",
        "1 h",
        "warn",
    ),
    Case(
        "retention_refused",
        "raw/gps_location",
        _RETENTION + "'refused', '2026-05-01 is not reconciled', now() - interval '1 hour')",
        _RETENTION + "'dropped', 'past 180 days', now())",
        "2026-05-01 is not reconciled",
        "warn",
    ),
    Case(
        "landing_default_partition",
        "fuel_purchase",
        _STRAY,
        "delete from landing.fuel_purchase_default",
        "1 row",
        "warn",
    ),
    Case(
        "partition_missing",
        "fuel_purchase",
        f"do $$ begin execute 'drop table landing.fuel_purchase_' || to_char({_TOMORROW}, 'YYYYMMDD'); end $$",
        f"select ops.create_landing_day('fuel_purchase', {_TOMORROW})",
        "1 day without a partition in landing.fuel_purchase",
    ),
    Case(
        "not_delivered",
        "email",
        "insert into ops.alert (alert_id, name, severity, subject, detail) overriding system value"
        " values (999, 'dag_failed', 'error', 's', 'd');"
        " insert into ops.alert_notice (alert_id, channel, notice, queued_at, error)"
        " values (999, 'email', 'raised', now() - interval '10 min', 'no route to host')",
        "update ops.alert_notice set sent_at = now()",
        "no route to host",
    ),
    Case(
        "health_check_stopped",
        "platform",
        "insert into ops.health_check (checker, checked_at, seconds, errors, warnings, unmeasured)"
        " values ('dag', now() - interval '1 hour', 0.3, 0, 0, 0)",
        "update ops.health_check set checked_at = now()",
        "1 h",
    ),
    Case(
        "signal_unmeasured",
        "backfill_stuck",
        "revoke select on ops.backfill_chunk from fleet_ops",
        "grant select on ops.backfill_chunk to fleet_ops",
        "permission denied",
        "warn",
    ),
)
