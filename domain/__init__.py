"""The rules of the road: contracts, lifecycle. Pure: no network, no database, no clock of its own."""
