"""Silver and Gold: tables that are computed from the sink's tables, hour by hour, and from nothing else."""
