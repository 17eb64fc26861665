{% macro content_order(relation) -%}
    {#- A total order on the content of a shipment event: what was sent first wins, then what is smaller. -#}
    {{ relation }}.recorded_at, {{ relation }}.occurred_at, {{ relation }}.sequence, {{ relation }}.status collate "C",
    {{ relation }}.reason_code collate "C", {{ relation }}.driver_id collate "C", {{ relation }}.vehicle_id collate "C",
    {{ relation }}.lat, {{ relation }}.lon, {{ relation }}.origin collate "C"
{%- endmacro %}

{% macro only_late(relation) -%}
    {#- Keeps the events of shipments that are folded again: the late ones, and in a full refresh all. -#}
    {%- if not flags.FULL_REFRESH -%}
    inner join {{ ref('int_shipment_touched') }} as late
        on {{ relation }}.tenant_id = late.tenant_id and {{ relation }}.shipment_id = late.shipment_id and late.is_late
    {%- endif -%}
{%- endmacro %}
