"""History again: re-land, re-transform, verify. One way for every range, feed and cause.

`plan` says what there is to do and from where, `ledger` remembers it, `land` brings a chunk's rows back to where the
pipelines take them, `verify` compares what came of them with what had to come.
"""
