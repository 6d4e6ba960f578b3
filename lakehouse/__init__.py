"""Topics to Iceberg tables, exactly once."""
