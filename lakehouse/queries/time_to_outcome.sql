-- How long after the touch was it decided, by the judgement at the touch and what became of it?
SELECT s.signal, o.outcome_480s, count(*) AS touches,
       round(avg((o.ts_passage_ns - o.ts_touch_ns) / 1e9), 2) AS mean_s,
       round(min((o.ts_passage_ns - o.ts_touch_ns) / 1e9), 2) AS least_s,
       round(max((o.ts_passage_ns - o.ts_touch_ns) / 1e9), 2) AS most_s
FROM gold.levels_outcomes o
JOIN gold.levels_signals s
  ON s.underlying = o.underlying AND s.level_id = o.level_id AND s.ts_event_ns = o.ts_touch_ns
WHERE o.ts_passage_ns IS NOT NULL
GROUP BY s.signal, o.outcome_480s
ORDER BY s.signal, o.outcome_480s
