{% macro content_order(relation) -%}
    {#- A total order on the content of a shipment event. A partner corrects by sending the line again, so of partners'
        the one sent last wins; of devices, which only repeat, the one sent first; then what is smaller. The first
        expression is null for all but partners, and is looked at only where ids are equal. -#}
    {{ newest_of_partner(relation) }}, {{ relation }}.recorded_at, {{ relation }}.occurred_at, {{ relation }}.sequence, {{ relation }}.status collate "C",
    {{ relation }}.reason_code collate "C", {{ relation }}.driver_id collate "C", {{ relation }}.vehicle_id collate "C",
    {{ relation }}.lat, {{ relation }}.lon, {{ relation }}.origin collate "C"
{%- endmacro %}

{% macro newest_of_partner(relation) -%}
    {#- Partners' events before any other, the one sent last before those sent earlier. -#}
    case when {{ relation }}.origin = 'partner' then {{ relation }}.recorded_at end desc nulls last
{%- endmacro %}

{% macro newest_line(relation) -%}
    {#- A total order on the versions of a line of a partner's file: what was sent last wins; of what was sent at once,
        the line that stands further down in its file. -#}
    {{ relation }}.recorded_at desc, {{ relation }}.source_line desc, {{ relation }}.batch_id desc, {{ relation }}.line desc
{%- endmacro %}

{% macro only_late(relation) -%}
    {#- Keeps the events of shipments that are folded again: the late ones, and in a full refresh all. -#}
    {%- if not flags.FULL_REFRESH -%}
    inner join {{ ref('int_shipment_touched') }} as late
        on {{ relation }}.tenant_id = late.tenant_id and {{ relation }}.shipment_id = late.shipment_id and late.is_late
    {%- endif -%}
{%- endmacro %}
