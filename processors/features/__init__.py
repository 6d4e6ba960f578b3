"""The features worker: ES records from the log through the engine to ``levels.features.v1``, exactly once (DESIGN §5).

The life of a record here: `intake` decodes it and hands it to the merge; `stepping` runs the engine over what every
input has promised; `publication` writes one Kafka transaction per step (whole snaps, a marker, at times a checkpoint);
`recovery` finds the way back after a crash; `worker` ties them together for one complex, `service` is the process.
"""
