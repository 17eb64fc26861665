"""The embedded stack: Postgres, the AWS stand-in, Airflow and a landing worker on this machine's loopback."""
