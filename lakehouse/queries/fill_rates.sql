-- Of the depth that left a level's zone, how much was traded and how much was pulled (one row in W_b, so flows count once).
SELECT level_id, any_value(level_kind) AS kind, direction,
       sum(barrier_filled) AS filled, sum(barrier_canceled) AS pulled, sum(barrier_hidden) AS hidden,
       round(sum(barrier_filled) / nullif(sum(barrier_filled) + sum(barrier_canceled), 0), 4) AS fill_rate
FROM gold.levels_features
WHERE barrier_visible
GROUP BY level_id, direction
HAVING filled + pulled > 0
ORDER BY fill_rate DESC, level_id, direction
