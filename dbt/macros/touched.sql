{% macro of_touched(kind, relation, since) -%}
    {#- Joins what the run recomputes: rows of touched vehicles or drivers (`kind`) whose column `since` is not before the
        time that they are touched from. In a full refresh, and when the table is new, every row. -#}
    {%- if is_incremental() -%}
    inner join {{ source('store', 'int_' ~ kind ~ '_touched') }} as touched
        on {{ relation }}.tenant_id = touched.tenant_id and {{ relation }}.{{ kind }}_id = touched.{{ kind }}_id
        and {{ relation }}.{{ since }} >= touched.since
    {%- endif %}
{%- endmacro %}
