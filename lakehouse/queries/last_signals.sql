-- What is the last judgement on every level?
SELECT ts_event, level_id, direction, signal, confidence,
       round(break_score_smooth, 1) AS score, barrier_state, round(distance, 3) AS distance
FROM (
    SELECT ts_event, level_id, direction, signal, confidence, break_score_smooth, barrier_state, distance,
           row_number() OVER (PARTITION BY level_id ORDER BY ts_event_ns DESC) AS place
    FROM gold.levels_signals
) newest
WHERE place = 1
ORDER BY level_id
