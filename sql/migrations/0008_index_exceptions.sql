-- Which shipments have had an exception: few of many, so a small index finds them without a look at the others.
create index int_shipment_status_history_exception
on intermediate.int_shipment_status_history (tenant_id, shipment_id)
where is_legal and status in ('failed_attempt', 'exception');
