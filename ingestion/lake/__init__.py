"""The lake: Iceberg tables of what landed, one a feed, partitioned by the day of the event."""
