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
    {#- Rows of the claimed batches. The list is exact; the ranges stand there as numbers, so that the BRIN index is used
        and the planner knows how much comes. What a backfill queued again is far from what is live: a range of its own. -#}
    (
        {%- for first, last in claimed_ranges() %}
        {{- ' or ' if not loop.first }}{{ relation }}.batch_id between {{ first }} and {{ last }}
        {%- endfor -%}
    )
    and {{ relation }}.batch_id in ({{ claimed_batches() }})
{%- endmacro %}

{% macro claimed_ranges() -%}
    {%- set ranges = [] -%}
    {%- if execute -%}
        {%- set bounds -%}
            select min(c.batch_id), max(c.batch_id)
            from ({{ claimed_batches() }}) as c
            group by c.batch_id in ({{ backfilled_batches() }})
        {%- endset -%}
        {%- for row in run_query(bounds).rows -%}
            {%- do ranges.append((row[0] | int, row[1] | int)) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(ranges or [(0, -1)]) }}
{%- endmacro %}

{% macro backfilled_batches() -%}
    {#- Of the claimed batches, those that a backfill has queued again. -#}
    select p.batch_id
    from {{ source('ledger', 'pending_batch') }} as p
    where p.run_id = nullif(current_setting('fleetflow.run_id', true), '')::uuid and p.priority > 0
{%- endmacro %}

{% macro claims_backfill() -%}
    {#- Whether this run has claimed any of a backfill: most runs have not, and pay nothing for it. -#}
    {%- if execute -%}
        {{ return(run_query('select exists (' ~ backfilled_batches() ~ ')').rows[0][0]) }}
    {%- endif -%}
    {{ return(false) }}
{%- endmacro %}
