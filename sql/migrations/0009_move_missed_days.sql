-- A day whose partition was missed: its rows lie in the default, and no partition could be made over them again.
-- They move into the new partition before it is attached; who lands waits on the default's lock meanwhile.
create or replace function ops.create_landing_day(feed text, day date) returns boolean
language plpgsql security definer set search_path = pg_catalog as $$
declare
    child text := feed || '_' || to_char(day, 'YYYYMMDD');
    spare text := feed || '_default';
    first_instant timestamptz := day::timestamp at time zone 'UTC';
    end_instant timestamptz := (day + 1)::timestamp at time zone 'UTC';
    missed boolean;
begin
    if to_regclass(format('landing.%I', child)) is not null then
        return false;
    end if;
    execute format('select exists (select from landing.%I where arrived_at >= $1 and arrived_at < $2)', spare)
    into missed using first_instant, end_instant;
    if missed then
        execute format('lock table landing.%I in access exclusive mode', spare);
        execute format('create table landing.%I (like landing.%I including defaults)', child, feed);
        execute format(
            'with moved as (delete from landing.%I where arrived_at >= $1 and arrived_at < $2 returning *)'
            ' insert into landing.%I select * from moved',
            spare, child
        ) using first_instant, end_instant;
        execute format(
            'alter table landing.%I attach partition landing.%I for values from (%L) to (%L)',
            feed, child, first_instant, end_instant
        );
    else
        execute format(
            'create table landing.%I partition of landing.%I for values from (%L) to (%L)',
            child, feed, first_instant, end_instant
        );
    end if;
    execute format('alter table landing.%I enable row level security', child);
    return true;
end $$;
