-- How often each level was judged to break, reject or be contested (changes of the signal, not rows).
WITH changes AS (
    SELECT level_id, level_kind, signal,
           lag(signal) OVER (PARTITION BY level_id ORDER BY ts_event_ns) AS before
    FROM gold.levels_signals
)
SELECT level_id, any_value(level_kind) AS kind,
       count(*) FILTER (WHERE signal = 'BREAK') AS breaks,
       count(*) FILTER (WHERE signal = 'REJECT') AS rejects,
       count(*) FILTER (WHERE signal = 'CONTESTED') AS contested
FROM changes
WHERE signal IS DISTINCT FROM before
GROUP BY level_id
HAVING breaks + rejects + contested > 0
ORDER BY breaks + rejects DESC, level_id
