{% macro week_of(day) -%}
    {#- The Monday of a day's ISO week. -#}
    date_trunc('week', {{ day }}::timestamp)::date
{%- endmacro %}

{% macro index_weeks() -%}
    {#- A week of one tenant is found without a scan. The day of a promise seldom changes, so an update of a shipment's status
        leaves this index alone. Made once, as it locks. -#}
    do $index$
    begin
        if to_regclass('{{ this.schema }}.{{ this.identifier }}_promised_week') is null then
            create index {{ this.identifier }}_promised_week on {{ this }} (tenant_id, ({{ week_of('promised_date') }}));
        end if;
    end $index$
{%- endmacro %}
