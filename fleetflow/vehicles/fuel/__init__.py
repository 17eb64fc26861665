"""The step that folds levels, burn and purchases into refills, drains, trips' fuel and anomalies.

    gathering   what the run has claimed, kept: readings of fixes by the minute, purchases each once
    horizon     from when on a vehicle's rows are made anew, and from when on its readings are read for that
    reading     minutes, trips, purchases and facts of some vehicles, as the domain's columns
    keeping     until when a vehicle's rows may be made anew, and which readings that needs
    judging     through `domain.fuel` (pure)
    expecting   trips held against their baselines, model by model
    writing     rows that replace what they supersede
    step        all of it, chunk by chunk

No state is kept: what a vehicle's rows from some day on come to depends on its readings since shortly before that day,
and those are kept by the minute, for two months at least. So neither order nor repetition of what arrives within them
shows in any row.
"""
