{% macro claimed_batches() -%}
    {#- The batches that this run transforms: those it has claimed. A full refresh takes the transformed ones again.
        The run is named by the session, so that compiled models are the same for every run. -#}
    select p.batch_id
    from {{ source('ledger', 'pending_batch') }} as p
    where p.run_id = nullif(current_setting('fleetflow.run_id', true), '')::uuid
    {%- if flags.FULL_REFRESH %}
    union all
    select d.batch_id from {{ source('ledger', 'transformed_batch') }} as d
    {%- endif %}
{%- endmacro %}

{% macro is_claimed(relation) -%}
    {#- Rows of the claimed batches. The list is exact; the range stands there as numbers, so that the BRIN index is used
        and the planner knows how much comes. -#}
    {%- set first, last = claimed_range() -%}
    {{ relation }}.batch_id between {{ first }} and {{ last }} and {{ relation }}.batch_id in ({{ claimed_batches() }})
{%- endmacro %}

{% macro claimed_range() -%}
    {%- if execute -%}
        {%- set bounds = run_query('select min(c.batch_id), max(c.batch_id) from (' ~ claimed_batches() ~ ') as c').rows[0] -%}
        {%- if bounds[0] is not none -%}
            {{ return((bounds[0] | int, bounds[1] | int)) }}
        {%- endif -%}
    {%- endif -%}
    {{ return((0, -1)) }}
{%- endmacro %}
