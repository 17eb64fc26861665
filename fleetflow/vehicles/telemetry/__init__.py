"""CAN frames into the warehouse: the first step of the vehicle side, and the lake's table of signals.

    claimed can_frame rows ──▶ windows: touched vehicle-hours, in chunks ──▶ frames of these windows, landing and lake
        ──▶ ingestion.telemetry.hours: decoded, each hour on its own ──▶ store: the hours' rows are replaced

A vehicle-hour is decoded again whenever one of its frames comes, from all of its frames: what is in the tables is a
function of the frames, not of how they arrived. `signals` writes the lake's days in the same way.
"""
