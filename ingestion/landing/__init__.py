"""Landing: from a stream's records to a raw object and, in one transaction, rows, rejects, ledger and checkpoint."""
