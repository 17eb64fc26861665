"""The step of driver hours: what drivers did, once each; what the rules say of it; how their clocks stand.

    claimed activities, trips ─▶ store (int_driver_activity) ─▶ restore, fold (domain.driver_hours) ─▶ replace

`fold` is pure: one driver's kept state and reports in, rows out. `store` is the SQL around it.
"""
