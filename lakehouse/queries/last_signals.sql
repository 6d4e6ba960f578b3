-- The last judgement on every level.
SELECT ts_event, level_id, direction, signal, confidence,
       round(break_score_smooth, 1) AS score, barrier_state, round(distance, 3) AS distance
FROM gold.levels_signals
QUALIFY row_number() OVER (PARTITION BY level_id ORDER BY ts_event_ns DESC) = 1
ORDER BY level_id
