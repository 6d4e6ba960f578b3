-- Rows, offsets and times of each Bronze table; a table is whole when rows and offsets agree (dead letters leave gaps).
SELECT 'futures_mbp10' AS table_name, _partition, count(*) AS rows, min(_offset) AS first_offset, max(_offset) AS last_offset,
       min(ts_event) AS first_event, max(ts_event) AS last_event
FROM bronze.futures_mbp10 GROUP BY _partition
UNION ALL
SELECT 'futures_trades', _partition, count(*), min(_offset), max(_offset), min(ts_event), max(ts_event)
FROM bronze.futures_trades GROUP BY _partition
ORDER BY table_name, _partition
