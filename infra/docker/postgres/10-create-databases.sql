-- Run once, by the Postgres image, on an empty volume: one login per role, three databases.
\getenv loader_password FLEETFLOW_LOADER_PASSWORD
\getenv transformer_password FLEETFLOW_TRANSFORMER_PASSWORD
\getenv ops_password FLEETFLOW_OPS_PASSWORD
\getenv analyst_password FLEETFLOW_ANALYST_PASSWORD
\getenv orders_password FLEETFLOW_ORDERS_PASSWORD
\getenv cdc_password FLEETFLOW_CDC_PASSWORD
\getenv airflow_password AIRFLOW_DB_PASSWORD

create role fleet_loader login password :'loader_password';
create role fleet_transformer login password :'transformer_password';
create role fleet_ops login password :'ops_password';
create role fleet_analyst login password :'analyst_password';
create role orders_cdc login replication password :'cdc_password';
create role orders_owner login password :'orders_password';
create role airflow login password :'airflow_password';

create database orders owner orders_owner;
create database airflow owner airflow;
