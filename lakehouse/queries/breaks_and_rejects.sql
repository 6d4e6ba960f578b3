-- How often was each level judged to break, to reject, to be contested?
-- Changes of the judgement count, not rows.
WITH judged AS (
    SELECT level_id, level_kind, signal,
           lag(signal) OVER (PARTITION BY level_id ORDER BY ts_event_ns) AS before
    FROM gold.levels_signals
)
SELECT level_id, min(level_kind) AS level_kind,
       count(*) FILTER (WHERE signal = 'BREAK') AS breaks,
       count(*) FILTER (WHERE signal = 'REJECT') AS rejects,
       count(*) FILTER (WHERE signal = 'CONTESTED') AS contested
FROM judged
WHERE signal IS DISTINCT FROM before AND signal <> 'NEUTRAL'
GROUP BY level_id
ORDER BY breaks DESC, rejects DESC, level_id
