-- The ledger's own retention: rejects with the raw bytes they hold, then batches with all that hangs on them. What an
-- expired batch counted stays in the totals, so that the whole still adds up.
alter table ops.retention_action drop constraint retention_action_area_check;
alter table ops.retention_action add constraint retention_action_area_check
check (area in ('raw', 'landing', 'lake', 'marts', 'ledger', 'rejects', 'batches'));

create table ops.batch_total (
    feed text not null,
    source text not null,
    batches bigint not null,
    events_read bigint not null,
    accepted bigint not null,
    rejected bigint not null,
    primary key (feed, source)
);
comment on table ops.batch_total is 'Sums of the batches that the ledger no longer holds';
grant select on ops.batch_total to fleet_loader, fleet_transformer, fleet_ops;

alter table ops.partner_file add column batches_expired_at timestamptz;
comment on column ops.partner_file.batches_expired_at is 'When its batches left the ledger: its counts stand alone since';

-- A digest of a window's raw objects as they were counted: their keys, sizes and tags, and what the ledger says of each.
alter table ops.reconciliation add column objects_digest text;
create index reconciliation_objects on ops.reconciliation (objects_digest) where objects_digest is not null;

-- A batch that goes is looked up in what refers to it.
alter table ops.transformed_batch drop constraint transformed_batch_pkey;
alter table ops.transformed_batch add primary key (batch_id, pipeline);
alter table ops.pending_batch drop constraint pending_batch_pkey;
alter table ops.pending_batch add primary key (batch_id, pipeline);
create index rejected_replay_batch on ops.rejected (replay_batch_id) where replay_batch_id is not null;

create or replace function ops.unverified(of_feed text, until timestamptz) returns text
language sql stable set search_path = pg_catalog as $$
    with verified as (
        select max(v.verified_through) as through from ops.verified_through as v where v.feed = of_feed
    )
    select coalesce(
        (
            select format(
                'not reconciled: %s arrivals from %s on are not verified', of_feed,
                to_char(b.first_arrived_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI')
            )
            from ops.batch as b
            where b.feed = of_feed and b.source <> 'cdc' and b.first_arrived_at < until
                and b.first_arrived_at >= coalesce((select v.through from verified as v), '-infinity')
            order by b.first_arrived_at
            limit 1
        ),
        (
            select format(
                'not reconciled: the %s of %s does not hold (%s)', s.grain,
                to_char(s.window_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), s.verdict
            )
            from ops.reconciliation_standing as s
            where s.feed = of_feed and s.window_start < until and s.verdict not in ('passed', 'repaired')
            order by s.window_start
            limit 1
        )
    )
$$;

-- A partner's file that was held for days lands under its old arrival, behind `verified_through`: nobody has counted it.
create function ops.uncounted(of_feed text, range_start timestamptz, range_end timestamptz) returns text
language sql stable set search_path = pg_catalog as $$
    with counted as materialized (
        select s.window_start, s.window_end, s.checked_at
        from ops.reconciliation_standing as s
        where s.feed = of_feed and s.window_start < range_end and s.window_start > range_start - interval '1 day'
    ),
    hours as materialized (
        select h.hour, (
            select max(c.checked_at) from counted as c
            where c.window_start <= h.hour and c.window_end >= h.hour + interval '1 hour'
        ) as checked_at
        from generate_series(range_start, range_end - interval '1 hour', interval '1 hour') as h (hour)
    )
    select format(
        'not reconciled: batch %s of %s landed after its window was counted', min(b.batch_id), of_feed
    )
    from hours as h
    join ops.batch as b on b.feed = of_feed and b.source <> 'cdc' and b.first_arrived_at >= h.hour
        and b.first_arrived_at < h.hour + interval '1 hour' and b.landed_at > h.checked_at
    having count(*) > 0
$$;

-- In the lake a row lies on the day of its event: what guards it is how its batch arrived, whenever that was.
create function ops.unverified_events(of_feed text, range_start timestamptz, range_end timestamptz) returns text
language sql stable set search_path = pg_catalog as $$
    select format('not reconciled: batch %s of %s is not verified and has events of these days', min(b.batch_id), of_feed)
    from ops.batch as b
    where b.feed = of_feed and b.source <> 'cdc' and b.max_event_time >= range_start and b.min_event_time < range_end
        and b.first_arrived_at >= coalesce(
            (select max(v.verified_through) from ops.verified_through as v where v.feed = of_feed), '-infinity'
        )
    having count(*) > 0
$$;

create or replace function ops.landing_refusal(feed text, day date) returns text
language plpgsql stable security definer set search_path = pg_catalog as $$
declare
    range_start timestamptz := day::timestamp at time zone 'UTC';
    range_end timestamptz := (day + 1)::timestamp at time zone 'UTC';
    holds boolean;
begin
    execute format('select exists (select from landing.%I)', feed || '_' || to_char(day, 'YYYYMMDD')) into holds;
    if not holds then
        return null;
    end if;
    return coalesce(
        ops.untransformed(feed, range_start, range_end),
        ops.unverified(feed, range_end),
        ops.uncounted(feed, range_start, range_end),
        ops.held_by(feed, range_start, range_end)
    );
end $$;

-- Dropping a partition needs its table alone for a moment. Whoever reads it for long is waited for briefly: everybody who
-- lands would stand in line behind this.
create or replace function ops.drop_landing_day(feed text, day date) returns boolean
language plpgsql security definer set search_path = pg_catalog set lock_timeout = '3s' as $$
declare
    child text := feed || '_' || to_char(day, 'YYYYMMDD');
    range_start timestamptz := day::timestamp at time zone 'UTC';
    range_end timestamptz := (day + 1)::timestamp at time zone 'UTC';
    refusal text;
    size bigint;
begin
    if to_regclass(format('landing.%I', child)) is null then
        return true;
    end if;
    refusal := ops.landing_refusal(feed, day);
    if refusal is null then
        begin
            execute format('lock table only landing.%I, landing.%I in access exclusive mode', feed, child);
            refusal := ops.untransformed(feed, range_start, range_end);
        exception when lock_not_available then
            refusal := 'busy: a statement has read the table for more than 3 s';
        end;
    end if;
    if refusal is not null then
        insert into ops.retention_action (area, subject, action, reason)
        values ('landing', 'landing.' || child, 'refused', refusal);
        return false;
    end if;
    size := pg_total_relation_size(format('landing.%I', child)::regclass);
    insert into ops.retention_action (area, subject, action, reason, row_count, size_bytes)
    select 'landing', 'landing.' || child, 'dropped', 'past its days', coalesce(sum(b.accepted), 0), size
    from ops.batch as b
    where b.feed = drop_landing_day.feed and b.source <> 'cdc'
        and b.first_arrived_at >= range_start and b.first_arrived_at < range_end;
    execute format('drop table landing.%I', child);
    return true;
end $$;

-- What stands against the end of a day of a feed in the ledger: of its rejects, or of its batches whole.
create function ops.ledger_refusal(of_feed text, of_area text, day date) returns text
language plpgsql stable security definer set search_path = pg_catalog as $$
declare
    range_start timestamptz := day::timestamp at time zone 'UTC';
    range_end timestamptz := (day + 1)::timestamp at time zone 'UTC';
    has_windows boolean := to_regclass(format('landing.%I', of_feed)) is not null;
    answer text;
begin
    answer := coalesce(
        ops.untransformed(of_feed, range_start, range_end),
        case when has_windows then ops.unverified(of_feed, range_end) end,
        ops.uncounted(of_feed, range_start, range_end),
        ops.held_by(of_feed, range_start, range_end)
    );
    -- Lines that name no feed lie in no window of their own: they go when all that came with them is verified.
    if answer is null and not has_windows then
        select coalesce(
            min(ops.unverified(v.feed, range_end)),
            case when count(*) = 0 then 'not reconciled: nothing is verified' end
        ) into answer
        from ops.verified_through as v;
    end if;
    if answer is null and exists (
        select from ops.batch as b where b.feed = of_feed and b.source = 'cdc'
            and b.first_arrived_at >= range_start and b.first_arrived_at < range_end
    ) and not exists (
        select from ops.verified_through as v where v.feed = 'order_database' and v.verified_through >= range_end
    ) then
        answer := 'not reconciled: the order database is not verified until then';
    end if;
    if answer is not null or of_area = 'rejects' then
        return answer;
    end if;
    if to_regclass(format('landing.%I', of_feed || '_' || to_char(day, 'YYYYMMDD'))) is not null then
        return 'landing still has the day';
    end if;
    select format('batch %s %s', b.batch_id, case
        when b.object_key is not null and b.object_expired_at is null and b.source <> 'backfill'
            then 'still has its raw object'
        when r.batch_id is not null then 'replayed rejects that are still kept'
        else 'is wanted by an open backfill'
    end) into answer
    from ops.batch as b
    left join ops.rejected as r on r.replay_batch_id = b.batch_id
    where b.feed = of_feed and b.first_arrived_at >= range_start and b.first_arrived_at < range_end
        and (
            b.object_key is not null and b.object_expired_at is null and b.source <> 'backfill'
            or r.batch_id is not null
            or exists (
                select from ops.backfill_batch as q join ops.backfill as f on f.backfill_id = q.backfill_id
                where q.batch_id = b.batch_id and f.state = 'open'
            )
        )
    order by b.batch_id
    limit 1;
    return answer;
end $$;

-- The days of a feed that are past keeping and still there, oldest first.
create function ops.ledger_days(of_feed text, of_area text, before timestamptz) returns setof date
language sql stable security definer set search_path = pg_catalog as $$
    select d.day::date
    from generate_series(
        (
            select date_trunc('day', min(b.first_arrived_at) at time zone 'UTC')
            from ops.batch as b where b.feed = of_feed
        ),
        before at time zone 'UTC' - interval '1 day', interval '1 day'
    ) as d (day)
    where exists (
        select from ops.batch as b
        where b.feed = of_feed and b.first_arrived_at >= d.day at time zone 'UTC'
            and b.first_arrived_at < (d.day + interval '1 day') at time zone 'UTC'
            and (of_area = 'batches' or b.rejected > 0)
    )
    and (of_area = 'batches' or not exists (
        select from ops.retention_action as a
        where a.area = 'rejects' and a.action = 'dropped'
            and a.subject = 'rejects.' || of_feed || '_' || to_char(d.day, 'YYYYMMDD')
    ))
    order by 1
$$;

-- One day of a feed, whole or not at all, with its entry in retention's own ledger.
create function ops.drop_ledger_day(of_feed text, of_area text, day date) returns boolean
language plpgsql security definer set search_path = pg_catalog as $$
declare
    name text := of_area || '.' || of_feed || '_' || to_char(day, 'YYYYMMDD');
    refusal text := ops.ledger_refusal(of_feed, of_area, day);
    ids bigint [];
    deleted bigint;
begin
    if of_area not in ('rejects', 'batches') then
        raise exception 'drop_ledger_day: %: not an area of the ledger', of_area;
    end if;
    if refusal is not null then
        insert into ops.retention_action (area, subject, action, reason) values (of_area, name, 'refused', refusal);
        return false;
    end if;
    select array_agg(b.batch_id) into ids from ops.batch as b
    where b.feed = of_feed and b.first_arrived_at >= day::timestamp at time zone 'UTC'
        and b.first_arrived_at < (day + 1)::timestamp at time zone 'UTC'
        and (of_area = 'batches' or b.rejected > 0);
    delete from ops.rejected where batch_id = any(ids);
    get diagnostics deleted = row_count;
    if of_area = 'batches' then
        delete from ops.transformed_batch where batch_id = any(ids);
        delete from ops.backfill_batch where batch_id = any(ids);
        delete from ops.partner_extra where batch_id = any(ids);
        update ops.partner_file set batches_expired_at = clock_timestamp()
        where file_id in (select b.partner_file_id from ops.batch as b where b.batch_id = any(ids));
        with gone as (
            delete from ops.batch where batch_id = any(ids) returning feed, source, events_read, accepted, rejected
        )
        insert into ops.batch_total as t (feed, source, batches, events_read, accepted, rejected)
        select g.feed, g.source, count(*), sum(g.events_read), sum(g.accepted), sum(g.rejected)
        from gone as g
        group by g.feed, g.source
        on conflict (feed, source) do update set
        batches = t.batches + excluded.batches, events_read = t.events_read + excluded.events_read,
        accepted = t.accepted + excluded.accepted, rejected = t.rejected + excluded.rejected;
        deleted := cardinality(ids);
    end if;
    insert into ops.retention_action (area, subject, action, reason, row_count)
    values (of_area, name, 'dropped', 'past its days', deleted);
    return true;
end $$;

-- A cut goes after every batch of its time; the newest of a shard stays, for the next one goes on from it.
create function ops.expire_cuts(before timestamptz, chunk integer) returns bigint
language plpgsql security definer set search_path = pg_catalog as $$
declare
    until timestamptz := least(before, (select min(b.first_arrived_at) from ops.batch as b where b.source = 'stream'));
    deleted bigint;
begin
    delete from ops.shard_cut where cut_id in (
        select c.cut_id from ops.shard_cut as c
        where coalesce(c.first_arrived_at, c.cut_at) < until and exists (
            select from ops.shard_cut as later
            where later.stream = c.stream and later.shard = c.shard and later.cut_id > c.cut_id
        )
        limit chunk
    );
    get diagnostics deleted = row_count;
    return deleted;
end $$;

-- An alert goes with what people were told of it, and never while it is open.
create or replace function ops.expire_rows(of_table text, before timestamptz, chunk integer) returns bigint
language plpgsql security definer set search_path = pg_catalog as $$
declare
    deleted bigint;
begin
    case of_table
        when 'check_result' then
            delete from ops.check_result where check_result_id in (
                select c.check_result_id from ops.check_result as c where c.checked_at < before limit chunk
            );
        when 'cdc_pull' then
            delete from ops.cdc_pull where pull_id in (
                select p.pull_id from ops.cdc_pull as p where p.started_at < before limit chunk
            );
        when 'alert' then
            with old as materialized (
                select a.alert_id from ops.alert as a
                where a.raised_at < before and (a.resolved_at < before or a.resolved_at is null and a.last_seen_at is null)
                    and not exists (select from ops.alert_state as s where s.alert_id = a.alert_id)
                limit chunk
            ), told as (
                delete from ops.alert_notice where alert_id in (select o.alert_id from old as o)
            )
            delete from ops.alert where alert_id in (select o.alert_id from old as o);
        else
            raise exception 'ops.%: not a table that retention deletes from', of_table;
    end case;
    get diagnostics deleted = row_count;
    return deleted;
end $$;

revoke all on function ops.ledger_refusal(text, text, date), ops.ledger_days(text, text, timestamptz),
ops.drop_ledger_day(text, text, date), ops.expire_cuts(timestamptz, integer) from public;
grant execute on function ops.ledger_refusal(text, text, date), ops.ledger_days(text, text, timestamptz),
ops.drop_ledger_day(text, text, date), ops.expire_cuts(timestamptz, integer) to fleet_loader;
