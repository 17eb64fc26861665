"""The vehicle side of the warehouse: folds over what vehicles and drivers sent, and the models built from them.

    claim ─▶ steps, one after the other (run.STEPS) ─▶ dbt models tagged `vehicles` ─▶ mark
               each: touched entities ─▶ state from before ─▶ their events since ─▶ tables of schema intermediate

`touched` says which entities a run's batches are about and since when; `states` keeps where their folds stood. A step
replaces what an entity's events come to from that moment on, so that it may be repeated, and neither the order nor the
repetition of events shows in any table.
"""
