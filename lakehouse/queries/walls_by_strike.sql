-- Which strikes were the walls in the last session, and for how many snaps each?
WITH snaps AS (
    SELECT ts_event_ns, min(fuel_call_wall) AS call_wall, min(fuel_put_wall) AS put_wall
    FROM gold.levels_signals
    WHERE session_date = (SELECT max(session_date) FROM gold.levels_signals)
    GROUP BY ts_event_ns
), walls AS (
    SELECT call_wall AS strike, 1 AS as_call, 0 AS as_put FROM snaps
    UNION ALL
    SELECT put_wall, 0, 1 FROM snaps
)
SELECT strike, sum(as_call) AS snaps_as_call_wall, sum(as_put) AS snaps_as_put_wall
FROM walls
WHERE strike IS NOT NULL
GROUP BY strike
ORDER BY strike
