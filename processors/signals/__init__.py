"""The signals worker: a Faust app from ``levels.features.v1`` to ``levels.signals.v1``, with a table of levels."""
