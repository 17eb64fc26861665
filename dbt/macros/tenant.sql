{% macro published() -%}
    {#- Gives what dbt has built to its readers, with the policies that its columns ask for; see ops.publish. A view reads
        with its reader's rights, a table without tenant_id fails. The project calls it for every mart and report. -#}
    select ops.publish('{{ this }}'::regclass)
{%- endmacro %}

{% macro published_words() -%}
    {#- A seed of the marts holds words that are the same for every tenant; any other is not for readers. -#}
    {%- if this.schema in ('marts', 'reports') -%}
    select ops.publish('{{ this }}'::regclass, is_shared => true)
    {%- endif -%}
{%- endmacro %}

{% macro tenant_policy() -%}
    {{ published() }}
{%- endmacro %}

{% macro invoker_view() -%}
    {{ published() }}
{%- endmacro %}

{% macro closed_to_tenants() -%}
    {#- Row-level security without a policy: only roles that bypass it read these, the owner among them by its attribute. -#}
    do $closed$
    begin
        if not (select relrowsecurity and relforcerowsecurity from pg_catalog.pg_class where oid = '{{ this }}'::regclass) then
            alter table {{ this }} enable row level security;
            alter table {{ this }} force row level security;
        end if;
    end $closed$
{%- endmacro %}
