"""Watches the whole platform: what is measured, when it is a fault, who is told, and where to read what to do.

`signals` is the one list; `measure` takes the measurements, `judge` finds what stands above its limit, `alerts` keeps
what was found and tells people once, `exporter` shows it to Prometheus, `rules` and `dashboard` write its alert rules
and its Grafana page from the same list.
"""
