-- Which levels broke in the last session, when, and how long after the touch?
SELECT level_id, level_kind, level_price, direction, episode_id, ts_touch_ns, ts_passage_ns,
       round((ts_passage_ns - ts_touch_ns) / 1e9, 1) AS seconds, outcome_120s, outcome_240s, outcome_480s
FROM gold.levels_outcomes
WHERE outcome_480s = 'BREAK' AND session_date = (SELECT max(session_date) FROM gold.levels_outcomes)
ORDER BY ts_touch_ns, level_id, episode_id
