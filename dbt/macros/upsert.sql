{% macro get_incremental_upsert_sql(arg_dict) -%}
    {#- Write what is new or differs; what is equal stays untouched. With meta.scope, a relation of the keys that were
        recomputed, rows of those keys that are no longer there are deleted: all of them, or with scope.since, a column
        of the target, those from the key's `since` on. The relation is a model, or with scope.source a table of that
        source. -#}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set made = arg_dict['temp_relation'] -%}
    {%- set keys = arg_dict['unique_key'] -%}
    {%- set scope = config.get('meta', {}).get('scope') -%}
    analyze {{ made }} ({{ keys | join(', ') }});
    {%- if scope %}
    delete from {{ target }} as stored
    using {{ source(scope['source'], scope['model']) if scope['source'] else ref(scope['model']) }} as scope
    where
        {%- for key in scope['key'] %}
        stored.{{ key }} = scope.{{ key }} and
        {%- endfor %}
        {%- if scope['since'] %}
        stored.{{ scope['since'] }} >= scope.since and
        {%- endif %}
        not exists (
            select from {{ made }} as made
            where {% for key in keys %}made.{{ key }} = stored.{{ key }}{{ ' and ' if not loop.last }}{% endfor %}
        );
    {%- endif %}
    {{ merge_rows(target, made, keys, arg_dict['dest_columns'] | map(attribute='name') | list) }}
{%- endmacro %}

{% macro merge_rows(target, made, keys, columns) -%}
    {%- set others = columns | reject('in', keys) | list -%}
    merge into {{ target }} as stored
    using {{ made }} as made
    on {% for key in keys %}stored.{{ key }} = made.{{ key }}{{ ' and ' if not loop.last }}{% endfor %}
    when matched and {{ differ(others) }}
        then update set {% for column in others %}{{ column }} = made.{{ column }}{{ ', ' if not loop.last }}{% endfor %}
    when not matched
        then insert ({{ columns | join(', ') }}) values (made.{{ columns | join(', made.') }})
{%- endmacro %}

{% macro differ(columns) -%}
    (stored.{{ columns | join(', stored.') }}) is distinct from (made.{{ columns | join(', made.') }})
{%- endmacro %}

{% macro leave_room(percent) -%}
    {#- Rows that are updated in place leave their indexes alone, if their pages have room for the next version. -#}
    do $room$
    begin
        if not exists (
            select from pg_catalog.pg_class where oid = '{{ this }}'::regclass and reloptions @> '{fillfactor={{ percent }}}'
        ) then
            alter table {{ this }} set (fillfactor = {{ percent }});
        end if;
    end $room$
{%- endmacro %}
