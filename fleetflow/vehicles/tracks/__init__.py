"""The step that folds position fixes into trips, stops, visits to sites and local days.

    plan      which vehicles, since when, from which kept state; late or not
    reading   their fixes: of the claimed batches, or of their history in landing and the lake
    places    time zones and fences of a tenant
    follow    fixes through `domain.tracks`, UTC day by UTC day (pure)
    sums      what is summed by local day and by rule (pure)
    standing  what a fold hands over to the next; codec turns it into bytes
    rows      results as rows of the tables; writing replaces what they supersede
    step      all of it, chunk by chunk

A chunk is some vehicles of one tenant; vehicles, drivers, zones and sites are codes of it: positions in sorted lists of
names. Nothing depends on when a fix arrived: a fix that comes late takes its vehicle back to the state before it.
"""
