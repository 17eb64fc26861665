{#- The audit: what was believed, since when, on what ground. Rows are added in the order of recording and chained by their
    hashes, shipment by shipment: see docs/adr/0027. Python's half is domain/audit_chain.py; both name the same columns. -#}

{% macro status_columns() -%}
    {{ return([
        'tenant_id', 'shipment_id', 'entry', 'event_id', 'version', 'supersedes', 'position', 'previous_status', 'status',
        'is_legal', 'occurred_at', 'recorded_at', 'sequence', 'reason_code', 'vehicle_id', 'lat', 'lon', 'origin', 'batch_id',
        'line', 'object_key', 'believed_from', 'run_id'
    ]) }}
{%- endmacro %}

{% macro order_columns() -%}
    {{ return(['tenant_id', 'shipment_id', 'entry'] + order_facts() + ['lsn', 'committed_at', 'batch_id', 'believed_from', 'run_id']) }}
{%- endmacro %}

{% macro order_facts() -%}
    {{ return([
        'customer_id', 'carrier_id', 'service_level', 'mode', 'origin_site_id', 'destination_site_id', 'region', 'created_at',
        'promised_at', 'cancelled_at', 'is_deleted'
    ]) }}
{%- endmacro %}

{% macro chained(relation, columns, place) -%}
    {#- The hash of each new entry: the chain goes on from head_hash, in the order of `place`. -#}
    ops.chain_hash(
        case when {{ relation }}.is_first then coalesce({{ relation }}.head_hash, '') else '' end
        || record_send(row({{ relation }}.{{ columns | join(', ' ~ relation ~ '.') }}))
    ) over (partition by {{ relation }}.tenant_id, {{ relation }}.shipment_id order by {{ relation }}.{{ place }}) as hash
{%- endmacro %}

{% macro head_of(kept) -%}
    case when {{ kept }}.audit_entries > 0 then {{ kept }}.audit_entries else lost.entry end as head_entry,
    case when {{ kept }}.audit_entries > 0 then {{ kept }}.audit_hash else lost.hash end as head_hash
{%- endmacro %}

{% macro lost_head(kept) -%}
    {#- Where no head is kept, for the shipment is new or its life was lost, the chain goes on from its own end. -#}
    left join lateral (
        select a.entry, a.hash from {{ source('audit', 'shipment_status') }} as a
        where coalesce({{ kept }}.audit_entries, 0) = 0 and a.tenant_id = {{ kept }}.tenant_id and a.shipment_id = {{ kept }}.shipment_id
        order by a.entry desc
        limit 1
    ) as lost on true
{%- endmacro %}

{% macro recorder() -%}
    select
        ops.as_of() as believed_from,
        nullif(current_setting('fleetflow.run_id', true), '')::uuid as run_id
{%- endmacro %}

{% macro audit_statuses(judged) -%}
    {#- Adds to the audit what the judged events say otherwise than it does. Where a shipment goes on, every event is new and
        nothing is looked up; an event of a late shipment is compared with what the audit believes of it. The source of a row
        that was only judged anew stays what it was. -#}
    {%- set content = ['status', 'occurred_at', 'recorded_at', 'sequence', 'reason_code', 'vehicle_id', 'lat', 'lon', 'origin'] -%}
    {%- set verdict = ['position', 'previous_status', 'is_legal'] -%}
    drop table if exists pg_temp.audit_added;
    create temporary table audit_added on commit drop as
    with told as (
        {%- if not flags.FULL_REFRESH %}
        select
            made.*, null::integer as supersedes, 1 as version, true as is_told,
            null::bigint as was_batch_id, null::integer as was_line, {{ head_of('t') }}
        from {{ judged }} as made
        inner join {{ ref('int_shipment_touched') }} as t
            on made.tenant_id = t.tenant_id and made.shipment_id = t.shipment_id and not t.is_late
        {{ lost_head('t') }}
        union all
        {%- endif %}
        select
            made.*, was.entry as supersedes, coalesce(was.version, 0) + 1 as version,
            (was.{{ content | join(', was.') }}) is distinct from (made.{{ content | join(', made.') }}) as is_told,
            was.batch_id as was_batch_id, was.line as was_line, {{ head_of('t') }}
        from {{ judged }} as made
        {%- if flags.FULL_REFRESH %}
        left join {{ source('store', 'int_shipment_life') }} as t on made.tenant_id = t.tenant_id and made.shipment_id = t.shipment_id
        {%- else %}
        inner join {{ ref('int_shipment_touched') }} as t
            on made.tenant_id = t.tenant_id and made.shipment_id = t.shipment_id and t.is_late
        {%- endif %}
        {{ lost_head('t') }}
        left join lateral (
            select a.* from {{ source('audit', 'shipment_status') }} as a
            where
                a.tenant_id = made.tenant_id and a.shipment_id = made.shipment_id and a.event_id = made.event_id
                and a.believed_until is null
            order by a.entry desc
            limit 1
        ) as was on true
        where
            was.entry is null
            or (was.{{ (content + verdict) | join(', was.') }}) is distinct from (made.{{ (content + verdict) | join(', made.') }})
    ),

    sourced as (
        select
            t.*,
            case when t.is_told then c.batch_id else t.was_batch_id end as batch_id,
            case when t.is_told then c.line else t.was_line end as line
        from told as t
        left join {{ ref('int_shipment_event_claimed') }} as c
            on t.tenant_id = c.tenant_id and t.shipment_id = c.shipment_id and t.event_id = c.event_id
            and (t.{{ content | join(', t.') }}) is not distinct from (c.{{ content | join(', c.') }})
    ),

    placed as (
        select
            s.*,
            coalesce(b.object_key, a.object_key) as object_key,
            r.believed_from,
            r.run_id,
            (coalesce(s.head_entry, 0) + row_number() over (partition by s.tenant_id, s.shipment_id order by s.position))::integer
                as entry,
            row_number() over (partition by s.tenant_id, s.shipment_id order by s.position) = 1 as is_first
        from sourced as s
        cross join ({{ recorder() }}) as r
        left join {{ source('ledger', 'batch') }} as b on s.batch_id = b.batch_id
        left join {{ source('audit', 'source_batch') }} as a on s.tenant_id = a.tenant_id and s.batch_id = a.batch_id
    )

    select
        p.{{ status_columns() | join(', p.') }},
        {{ chained('p', status_columns(), 'position') }},
        p.entry = max(p.entry) over (partition by p.tenant_id, p.shipment_id) as is_head
    from placed as p;

    insert into {{ source('audit', 'shipment_status') }} ({{ status_columns() | join(', ') }}, hash)
    select {{ status_columns() | join(', ') }}, hash from audit_added
    -- A row that somebody has put there must not stop the runs; verify names it.
    on conflict do nothing;
    {{ supersede('shipment_status', 'a.entry = n.supersedes and n.supersedes is not null') }}
    {{ cite_sources() }}
{%- endmacro %}

{% macro supersede(audit, meets) -%}
    update {{ source('audit', audit) }} as a set believed_until = n.believed_from
    from audit_added as n
    where a.tenant_id = n.tenant_id and a.shipment_id = n.shipment_id and {{ meets }};
{%- endmacro %}

{% macro cite_sources() -%}
    insert into {{ source('audit', 'source_batch') }} (
        tenant_id, batch_id, source, feed, object_key, stream, shard, partner, file_name, file_sha256, landed_at
    )
    select n.tenant_id, b.batch_id, b.source, b.feed, b.object_key, b.stream, b.shard, f.partner, f.name, f.sha256, b.landed_at
    from (select distinct tenant_id, batch_id from audit_added where batch_id is not null) as n
    inner join {{ source('ledger', 'batch') }} as b on n.batch_id = b.batch_id
    left join {{ source('ledger', 'partner_file') }} as f on b.partner_file_id = f.file_id
    on conflict do nothing
{%- endmacro %}

{% macro audit_orders() -%}
    {#- Adds to the audit what the order system says otherwise of the shipments whose order or region has changed. -#}
    {%- set audit = source('audit', 'shipment_order') -%}
    {%- set head = source('store', 'int_shipment_order_head') -%}
    drop table if exists pg_temp.audit_added;
    create temporary table audit_added on commit drop as
    with placed as (
        select
            o.tenant_id, o.shipment_id, o.customer_id, o.carrier_id, o.service_level, o.mode, o.origin_site_id,
            o.destination_site_id, d.region, o.created_at, o.promised_at, o.cancelled_at, o.is_deleted, o.lsn, o.committed_at,
            o.batch_id, r.believed_from, r.run_id, greatest(h.audit_entries, was.entry, 0) + 1 as entry,
            true as is_first, coalesce(h.audit_hash, was.hash) as head_hash
        from {{ ref('stg_source__shipments') }} as o
        {%- if not flags.FULL_REFRESH %}
        inner join {{ ref('int_shipment_touched') }} as t
            on o.tenant_id = t.tenant_id and o.shipment_id = t.shipment_id and t.is_ordered
        {%- endif %}
        cross join ({{ recorder() }}) as r
        left join {{ ref('dim_site') }} as d on o.tenant_id = d.tenant_id and o.destination_site_id = d.site_id
        left join {{ head }} as h on o.tenant_id = h.tenant_id and o.shipment_id = h.shipment_id
        left join lateral (
            select a.* from {{ audit }} as a
            where a.tenant_id = o.tenant_id and a.shipment_id = o.shipment_id
            order by a.entry desc
            limit 1
        ) as was on true
        where
            was.entry is null
            or (was.{{ order_facts() | join(', was.') }})
            is distinct from (o.{{ order_facts() | join(', o.') | replace('o.region', 'd.region') }})
    )

    select p.{{ order_columns() | join(', p.') }}, {{ chained('p', order_columns(), 'entry') }} from placed as p;

    insert into {{ audit }} ({{ order_columns() | join(', ') }}, hash) select {{ order_columns() | join(', ') }}, hash from audit_added;
    {{ supersede('shipment_order', 'a.entry = n.entry - 1') }}
    insert into {{ head }} as h (tenant_id, shipment_id, audit_entries, audit_hash)
    select tenant_id, shipment_id, entry, hash from audit_added
    on conflict (tenant_id, shipment_id) do update set audit_entries = excluded.audit_entries, audit_hash = excluded.audit_hash;
    {{ cite_sources() }}
{%- endmacro %}
