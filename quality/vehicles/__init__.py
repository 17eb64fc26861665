"""The suites of the vehicle side: `vehicles` on its marts every night, `vehicles_gate` on what a run has claimed."""
