"""Checks over sets of rows, and reconciliation against arms outside the lineage."""
