"""Maintenance: when services are due, when they will be, which trouble codes are open, and who goes to a workshop when.

Pure: today and the first day that may be planned are arguments. Data flows one way, and each step may be used alone:

    readings --meters--> Meter --due--> Due --projection--> Projected --(caller makes jobs)--> planner --> Plan
    DM1 and service 03 reports --trouble_codes--> Spell -----------------^

* `meters`: use since zero in km or hours, by day, over faults and replacements of the meter.
* `due`: km, months, engine hours, whichever comes first, since the last service or commissioning. `left` in km, days,
  hours.
* `projection`: the day on which it will be due, with an interval of 80 in 100, from the vehicle's own days.
* `trouble_codes`: spells with age, severity and recurrence; the same for any order and repeats of the reports.
* `workshop`: what a plan is made of, in dates; `grid`: the same in numbers; `search`: greedy steps; `solver`: CP-SAT
  for one workshop at a time; `bound`: what no plan can undercut; `reasons`: why not, and why elsewhere; `planner`: all.

Costs are weighted days: a day by which a job ends after it is due counts 16, 8, 4, 2 or 1 by priority 1 to 5. Not
placing a job costs its lateness at the end of the horizon and a horizon more. The days are the caller's own (the
site's local ones). docs/reference/maintenance.md says it rule by rule.
"""
