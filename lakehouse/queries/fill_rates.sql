-- Of the depth that left a level's zone, how much was traded and how much was pulled, by kind of level?
SELECT level_kind, direction,
       sum(barrier_filled) AS filled, sum(barrier_canceled) AS pulled, sum(barrier_hidden) AS hidden,
       round(CAST(sum(barrier_filled) AS DOUBLE) / sum(barrier_filled + barrier_canceled), 4) AS fill_rate
FROM gold.levels_features
WHERE barrier_visible
GROUP BY level_kind, direction
HAVING sum(barrier_filled + barrier_canceled) > 0
ORDER BY level_kind, direction
