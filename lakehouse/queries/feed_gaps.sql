-- When was a feed not covered, because its connection was lost?
SELECT topic, source, gap_begin_ns, max(gap_end_ns) AS gap_end_ns,
       round((max(gap_end_ns) - gap_begin_ns) / 1e9, 3) AS seconds
FROM bronze.control_heartbeats
WHERE gap_begin_ns IS NOT NULL AND gap_end_ns IS NOT NULL
GROUP BY topic, source, gap_begin_ns
ORDER BY gap_begin_ns, topic, source
