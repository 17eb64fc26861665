"""Sending to and reading from Kinesis data streams.

`producer.Producer` is the sending side; a line that it accepted reaches the stream at least once.
"""
