{% macro latest(value, position, condition='true') -%}
    {#- The value at the highest position that meets the condition, as a plain maximum: it needs no sort and runs in
        parallel. The position stands before the value, seven digits from 1000000 on. -#}
    substr(max(({{ position }} + 1000000)::text || ({{ value }}) collate "C") filter (where {{ condition }}), 8)
{%- endmacro %}
