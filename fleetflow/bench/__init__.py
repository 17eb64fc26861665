"""Benchmarks: each measures the machine's limit for the same work in the same run, and asserts nothing."""
