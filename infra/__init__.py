"""What the platform runs on: the local stack, compose files, dashboards."""
