{% macro get_incremental_history_sql(arg_dict) -%}
    {#- Writes the judged events, what the audit has to add, and what the shipments' events come to, in one transaction. Where a shipment goes on, its
        rows are new and in the order of the key's index; only those of late shipments can be there already, and are
        few, so each is looked up by the key instead of joining the whole history. -#}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set made = arg_dict['temp_relation'] -%}
    {%- set keys = arg_dict['unique_key'] -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='name') | list -%}
    {%- set others = columns | reject('in', keys) | list -%}
    {%- set is_late -%}
        exists (
            select from {{ ref('int_shipment_touched') }} as touched
            where touched.tenant_id = made.tenant_id and touched.shipment_id = made.shipment_id and touched.is_late
        )
    {%- endset -%}
    analyze {{ made }} ({{ keys | join(', ') }});
    {%- if flags.FULL_REFRESH %}
    {{ merge_rows(target, made, keys, columns) }};
    {%- else %}
    insert into {{ target }} ({{ columns | join(', ') }})
    select made.{{ columns | join(', made.') }} from {{ made }} as made where not {{ is_late }};
    insert into {{ target }} as stored ({{ columns | join(', ') }})
    select made.{{ columns | join(', made.') }} from {{ made }} as made where {{ is_late }}
    on conflict ({{ keys | join(', ') }}) do update
    set {% for column in others %}{{ column }} = excluded.{{ column }}{{ ', ' if not loop.last }}{% endfor %}
    where (stored.{{ others | join(', stored.') }}) is distinct from (excluded.{{ others | join(', excluded.') }});
    {%- endif %}
    {{ audit_statuses(made) }};
    {{ fold_lives(made) }}
{%- endmacro %}

{% macro fold_lives(judged) -%}
    {#- A shipment whose judged events begin at position 1 is folded from them alone; any other goes on from what is
        stored. Every aggregate is of a kind that can go on: last, least, greatest, count. -#}
    {%- set columns = [
        'status', 'driver_id', 'vehicle_id', 'status_at', 'assigned_at', 'picked_up_at', 'out_for_delivery_at',
        'delivered_at', 'failed_attempts', 'exceptions', 'illegal_transitions', 'events', 'first_event_at', 'last_event_at'
    ] -%}
    merge into {{ source('store', 'int_shipment_life') }} as stored
    using (
        select f.*, a.entry as audit_entries, a.hash as audit_hash
        from (
        select
            h.tenant_id,
            h.shipment_id,
            min(h.position) as first_position,
            {{ latest('h.status', 'h.position', 'h.is_legal') }} as status,
            {{ latest('h.driver_id', 'h.position', 'h.is_legal and h.driver_id is not null') }} as driver_id,
            {{ latest('h.vehicle_id', 'h.position', 'h.is_legal and h.vehicle_id is not null') }} as vehicle_id,
            max(h.occurred_at) filter (where h.is_legal) as status_at,
            min(h.occurred_at) filter (where h.is_legal and h.status = 'assigned') as assigned_at,
            min(h.occurred_at) filter (where h.is_legal and h.status = 'picked_up') as picked_up_at,
            max(h.occurred_at) filter (where h.is_legal and h.status = 'out_for_delivery') as out_for_delivery_at,
            max(h.occurred_at) filter (where h.is_legal and h.status = 'delivered') as delivered_at,
            count(*) filter (where h.is_legal and h.status = 'failed_attempt') as failed_attempts,
            count(*) filter (where h.is_legal and h.status = 'exception') as exceptions,
            count(*) filter (where not h.is_legal) as illegal_transitions,
            count(*) as events,
            min(h.occurred_at) as first_event_at,
            max(h.occurred_at) as last_event_at
        from {{ judged }} as h
        group by h.tenant_id, h.shipment_id
        ) as f
        left join audit_added as a on f.tenant_id = a.tenant_id and f.shipment_id = a.shipment_id and a.is_head
    ) as made
    on stored.tenant_id = made.tenant_id and stored.shipment_id = made.shipment_id
    when matched and made.first_position > 1 then update set
        status = coalesce(made.status, stored.status),
        driver_id = coalesce(made.driver_id, stored.driver_id),
        vehicle_id = coalesce(made.vehicle_id, stored.vehicle_id),
        status_at = greatest(made.status_at, stored.status_at),
        assigned_at = least(made.assigned_at, stored.assigned_at),
        picked_up_at = least(made.picked_up_at, stored.picked_up_at),
        out_for_delivery_at = greatest(made.out_for_delivery_at, stored.out_for_delivery_at),
        delivered_at = greatest(made.delivered_at, stored.delivered_at),
        failed_attempts = made.failed_attempts + stored.failed_attempts,
        exceptions = made.exceptions + stored.exceptions,
        illegal_transitions = made.illegal_transitions + stored.illegal_transitions,
        events = made.events + stored.events,
        first_event_at = least(made.first_event_at, stored.first_event_at),
        last_event_at = greatest(made.last_event_at, stored.last_event_at),
        audit_entries = coalesce(made.audit_entries, stored.audit_entries),
        audit_hash = coalesce(made.audit_hash, stored.audit_hash)
    when matched and (made.audit_entries is not null or {{ differ(columns) }}) then update set
        {% for column in columns %}{{ column }} = made.{{ column }}, {% endfor %}
        audit_entries = coalesce(made.audit_entries, stored.audit_entries),
        audit_hash = coalesce(made.audit_hash, stored.audit_hash)
    when not matched
        then insert (tenant_id, shipment_id, {{ columns | join(', ') }}, audit_entries, audit_hash)
        values (
            made.tenant_id, made.shipment_id, made.{{ columns | join(', made.') }}, coalesce(made.audit_entries, 0), made.audit_hash
        )
{%- endmacro %}
