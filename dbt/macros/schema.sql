{% macro generate_schema_name(custom_schema_name, node) -%}
    {#- The warehouse has one set of schemas, made by the migrations: staging, intermediate, marts, reports. -#}
    {{ custom_schema_name or target.schema }}
{%- endmacro %}
