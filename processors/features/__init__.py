"""The features worker: all inputs from the log through the engine to features, outcomes and option flow, exactly once
(DESIGN §5).

The life of a record here: `intake` decodes it and hands it to the merge; `stepping` runs the engine over what every
input has promised; `publication` writes one Kafka transaction per step (its rows, a marker, at times a checkpoint);
`silence` says which input has kept the others waiting for too long; `recovery` finds the way back after a crash;
`worker` ties them together for one complex, `service` is the process.
"""
