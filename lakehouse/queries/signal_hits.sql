-- What became of the touches that were judged, by the judgement at the touch and its confidence?
SELECT s.signal, s.confidence, count(*) AS touches,
       count(*) FILTER (WHERE o.outcome_120s = 'BREAK') AS broke_120s,
       count(*) FILTER (WHERE o.outcome_120s = 'REJECT') AS rejected_120s,
       count(*) FILTER (WHERE o.outcome_480s = 'BREAK') AS broke_480s,
       count(*) FILTER (WHERE o.outcome_480s = 'REJECT') AS rejected_480s
FROM gold.levels_outcomes o
JOIN gold.levels_signals s
  ON s.underlying = o.underlying AND s.level_id = o.level_id AND s.ts_event_ns = o.ts_touch_ns
GROUP BY s.signal, s.confidence
ORDER BY s.signal, s.confidence
