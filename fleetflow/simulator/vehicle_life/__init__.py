"""Vehicles and drivers that live a whole life: duties, ways, fuel, engine, trouble and services, and the truth of it.

    rosters -> shifts, duties   who works when: lawful, but for what is planted
    paths, drives -> diary      the ways between sites that these duties drive
    samples -> tank             place, speed, engine and fuel, moment by moment; thefts, leaks, fill-ups, purchases
    positions, bus (frames), activities -> sources    the lines of gps_location, can_frame and driver_activity
    services, trouble           workshop records and trouble codes
    life, truth                 all of it for a plan, and what the marts must find

Everything follows from the plan: no clock is read, and the order in which lines are asked for changes none of them.
The rules that judge this life later (driver hours, decoder, tracks, fuel) are never asked here: limits, layouts and
physics are written out from the same public sources, so that the one checks the other.
"""
