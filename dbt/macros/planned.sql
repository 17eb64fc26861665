{% macro of_planned_nights(relation) -%}
    {#- Joins the nights that the plan at work wrote. In a full refresh, and when the table is new, every night. -#}
    {%- if is_incremental() -%}
    inner join {{ source('store', 'int_plan_night_touched') }} as night
        on {{ relation }}.tenant_id = night.tenant_id and {{ relation }}.plan_date = night.plan_date
    {%- endif %}
{%- endmacro %}
