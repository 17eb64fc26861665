"""What DAG tasks call, one module a capability: light to import, plain small return values."""
