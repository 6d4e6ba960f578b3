-- How often does a level of each kind hold, of the touches that were decided within 480 s?
SELECT level_kind, direction, count(*) AS touches,
       count(*) FILTER (WHERE outcome_480s = 'REJECT') AS rejects,
       count(*) FILTER (WHERE outcome_480s = 'BREAK') AS breaks,
       round(CAST(count(*) FILTER (WHERE outcome_480s = 'REJECT') AS DOUBLE)
             / count(*) FILTER (WHERE outcome_480s IN ('REJECT', 'BREAK')), 4) AS reject_rate
FROM gold.levels_outcomes
GROUP BY level_kind, direction
HAVING count(*) FILTER (WHERE outcome_480s IN ('REJECT', 'BREAK')) > 0
ORDER BY level_kind, direction
