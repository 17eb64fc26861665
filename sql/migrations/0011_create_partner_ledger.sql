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
    expected_at timestamptz,
    is_late boolean not null default false,
    lines bigint,
    accepted bigint,
    rejected bigint,
    unchanged bigint,
    superseded bigint,
    supersedes bigint references ops.partner_file,
    schema_version integer,
    archive_key text,
    seen_at timestamptz not null default clock_timestamp(),
    whole_at timestamptz,
    ended_at timestamptz,
    approved_by text,
    approved_at timestamptz,
    constraint loaded_adds_up check (state <> 'loaded' or lines = accepted + rejected + unchanged)
);
comment on column ops.partner_file.accepted is 'Rows landed: new ones, and those that supersede an earlier version';
comment on column ops.partner_file.superseded is 'Of the accepted: rows of which an earlier file held another version';
comment on column ops.partner_file.unchanged is 'Rows that an earlier file of the same name held word for word; not landed again';
create unique index partner_file_content on ops.partner_file (partner, name, sha256) where sha256 is not null;
create unique index partner_file_missing on ops.partner_file (partner, expected_at) where state = 'missing';
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

-- Columns that a partner sends and no map names yet: kept beside the row until they are mapped.
create table ops.partner_extra (
    batch_id bigint not null references ops.batch,
    line integer not null,
    feed text not null,
    event_id text not null,
    extras jsonb not null,
    primary key (batch_id, line)
);

alter table ops.batch add column partner_file_id bigint references ops.partner_file;
create index batch_partner_file on ops.batch (partner_file_id) where partner_file_id is not null;

grant select, insert, update on ops.partner_file, ops.partner_schema to fleet_loader;
grant select, insert on ops.partner_extra to fleet_loader;
grant update (state, reason, approved_by, approved_at) on ops.partner_file to fleet_ops;
grant update (state) on ops.partner_schema to fleet_ops;
grant select on ops.partner_file, ops.partner_schema, ops.partner_extra to fleet_transformer, fleet_ops;
