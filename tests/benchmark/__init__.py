"""Benchmarks: each module has a ``main`` that ``./breakwater bench`` mounts."""
