"""Services, meters and trouble codes of vehicles, and the nightly plan of the workshops.

    service_record, fuel_purchase ──▶ records ─┐
    int_signal_minute, int_vehicle_day ────────┴▶ meters ──▶ int_meter_day ──▶ fct_maintenance_due (a view)
    int_dtc_report ──▶ codes ──▶ int_dtc_spell ──▶ fct_dtc (a view)
    these, duties, workshops, the plan before ──▶ situation ──▶ plan ──▶ int_maintenance_* ──▶ fct_maintenance_plan

The rules are those of `domain.maintenance`; days are those of the vehicle's home site.
"""
