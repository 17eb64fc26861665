{% macro as_of() -%}
    {#- "Now" of a report: the session's fleetflow.as_of if set, else the clock. -#}
    ops.as_of()
{%- endmacro %}
