{% macro of_tracks(relation, since) -%}
    {#- Joins the vehicles whose tracks or loads the run has changed: their rows whose column `since`, a time or a local
        date, is not before that. In a full refresh, and when the table is new, every row. -#}
    {%- if is_incremental() %}
    inner join {{ ref('int_track_touched') }} as touched
        on {{ relation }}.tenant_id = touched.tenant_id and {{ relation }}.vehicle_id = touched.vehicle_id
        and {{ relation }}.{{ since }} >= touched.since
    {%- endif %}
{%- endmacro %}

{% macro length_of_day(local_date, time_zone) -%}
    {#- Seconds of a local day: 82,800, 86,400 or 90,000. -#}
    extract(epoch from ({{ local_date }} + 1)::timestamp at time zone {{ time_zone }}
        - {{ local_date }}::timestamp at time zone {{ time_zone }})::double precision
{%- endmacro %}

{% macro exact_sum(value) -%}
    {#- The sum of doubles that are whole thousandths, whatever the order in which they are added. -#}
    sum(({{ value }})::numeric)::double precision
{%- endmacro %}
