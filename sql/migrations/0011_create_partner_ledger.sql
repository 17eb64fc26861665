-- What partners sent: every file from its first sight to its archive, every schema they ever used.

create table ops.partner_file (
    file_id bigint generated always as identity primary key,
    partner text not null,
    tenant_id text not null,
    feed text not null,
    name text not null,
    size_bytes bigint,
    modified_at timestamptz,
    sha256 text,
    state text not null check (state in ('seen', 'whole', 'loaded', 'held', 'refused', 'missing')),
    reason text,
    cause text,
    expected_at timestamptz,
    is_late boolean not null default false,
    promised_lines bigint,
    lines bigint,
    accepted bigint,
    rejected bigint,
    unchanged bigint,
    superseded bigint,
    absent bigint,
    supersedes bigint references ops.partner_file,
    schema_version integer,
    archive_key text,
    observations jsonb not null default '{}',
    attempts integer not null default 0,
    repeats integer not null default 0,
    seen_at timestamptz not null default clock_timestamp(),
    came_at timestamptz,
    looked_at timestamptz not null default clock_timestamp(),
    checked_at timestamptz,
    sent_at timestamptz,
    whole_at timestamptz,
    ended_at timestamptz,
    approved_by text,
    approved_at timestamptz,
    constraint loaded_adds_up check (state <> 'loaded' or lines = accepted + rejected + unchanged)
);
comment on column ops.partner_file.accepted is 'Rows landed: new ones, and those that supersede an earlier version';
comment on column ops.partner_file.superseded is 'Of the accepted: rows of which an earlier file held another version';
comment on column ops.partner_file.unchanged is 'Rows that an earlier file of the same name held word for word; not landed again';
comment on column ops.partner_file.absent is 'Lines that an earlier file of the same name held and this one does not; they stay as they were';
comment on column ops.partner_file.cause is 'Why it is held or refused, in one word';
comment on column ops.partner_file.observations is 'What is remarkable about the rows landed, for example how many were recorded late';
comment on column ops.partner_file.attempts is 'Loads that began on the file and did not come to an end; a file that kills its loader comes last';
comment on column ops.partner_file.repeats is 'How often the same content came again under the same name';
comment on column ops.partner_file.came_at is
'When it came, as near as is known: the server''s time of change, if that lies between the look before and the first sight';
comment on column ops.partner_file.promised_lines is 'Data lines that the partner''s manifest gives';
comment on column ops.partner_file.looked_at is 'When the name was last listed with this size and time of change';
comment on column ops.partner_file.checked_at is 'When the content was last read and found to have this hash';
comment on column ops.partner_file.sent_at is
'The time of change on the server, or just after that of the version before: a later version is always the newer one';
create unique index partner_file_content on ops.partner_file (partner, name, sha256) where sha256 is not null;
create unique index partner_file_missing on ops.partner_file (partner, expected_at) where state = 'missing';
create unique index partner_file_seen on ops.partner_file (partner, name) where state = 'seen';
create index partner_file_state on ops.partner_file (partner, state, seen_at);

create table ops.partner_schema (
    partner text not null,
    version integer not null,
    fingerprint text not null,
    columns jsonb not null,
    diff jsonb not null,
    state text not null check (state in ('accepted', 'held', 'approved')),
    first_file_id bigint references ops.partner_file,
    seen_at timestamptz not null default clock_timestamp(),
    primary key (partner, version),
    unique (partner, fingerprint)
);

-- How far each partner's schedule is judged: every moment up to then has its file, or its row of state missing.
create table ops.partner_watch (
    partner text primary key,
    watched_from timestamptz not null,
    judged_through timestamptz not null,
    looked_at timestamptz not null
);

-- Columns that a partner sends and no map names yet: kept beside the row until they are mapped. As many as the rows of
-- landing, and like them without a foreign key, which would look up a batch for each.
create table ops.partner_extra (
    batch_id bigint not null,
    line integer not null,
    feed text not null,
    event_id text not null,
    extras jsonb not null,
    primary key (batch_id, line)
);

alter table ops.batch add column partner_file_id bigint references ops.partner_file;
create index batch_partner_file on ops.batch (partner_file_id) where partner_file_id is not null;

grant select, insert, update on ops.partner_file, ops.partner_schema, ops.partner_watch to fleet_loader;
-- A first sight that turns out to be content known already goes; what was decided on is never deleted.
grant delete on ops.partner_file to fleet_loader;
grant select, insert on ops.partner_extra to fleet_loader;
grant update (state, reason, approved_by, approved_at) on ops.partner_file to fleet_ops;
grant update (state) on ops.partner_schema to fleet_ops;
grant select on ops.partner_file, ops.partner_schema, ops.partner_watch, ops.partner_extra to fleet_transformer, fleet_ops;

create function ops.keep_decided_file() returns trigger
language plpgsql set search_path = pg_catalog as $$
begin
    if old.state <> 'seen' then
        raise exception 'ops.partner_file %: a file of state % is never deleted', old.file_id, old.state;
    end if;
    return old;
end $$;
create trigger partner_file_kept before delete on ops.partner_file
for each row execute function ops.keep_decided_file();
