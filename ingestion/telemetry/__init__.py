"""CAN frames in, signals and trouble codes out: pure functions from Arrow tables to Arrow tables, a batch at a time.

    manifest.yaml + *.dbc --manifest.read_manifest--> Manifest --.bus(model, year, channel)--> Bus: id -> Route
    can_frame rows -------frames.read_frames--------> Frames (codes, flat payload bytes)
    Frames + Manifest --decode.decode_frames--------> Decoded: signals, trouble_codes, counts, raw, open, lost

`decode_frames` looks every distinct (vehicle model, year, channel, id) up once, sorts the frames by what they are, and
works on each kind as one array: a DBC message or a J1939 parameter group by bit windows of its payloads (`layout`,
`extract`), OBD-II replies by PID (`obd`), DM1/DM2 and OBD trouble codes (`trouble_codes`). Frames of a transport
protocol (`j1939_transport`, `isotp`) go through a state machine one by one; what it completes is decoded likewise.
Names, scales and units of the standards are in `standard`.

Invariants: every frame has exactly one outcome (`outcomes.Outcome`), and a vehicle's counts add up to its frames. A
value that a vehicle marks as not available or faulty is null. Frames in another order, or (in order) cut elsewhere
into batches, give the same rows. Trusted unchecked: that `event_id` repeats were removed upstream; a
repeated frame gives repeated signals. The order of rows in the answers is not promised.
Never touched here: connections, clocks, settings, the landing. Files are read by `manifest` and `logs` only.
"""
