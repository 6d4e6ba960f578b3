-- Is Bronze whole? Where rows and offsets differ, dead letters or the marks of transactions stand between the rows.
SELECT 'futures_mbp10' AS table_name, _partition, count(*) AS stored, max(_offset) - min(_offset) + 1 AS offsets,
       count(*) - count(DISTINCT _offset) AS doubles, min(ts_event) AS first_event, max(ts_event) AS last_event
FROM bronze.futures_mbp10 GROUP BY _partition
UNION ALL
SELECT 'futures_trades', _partition, count(*), max(_offset) - min(_offset) + 1,
       count(*) - count(DISTINCT _offset), min(ts_event), max(ts_event)
FROM bronze.futures_trades GROUP BY _partition
UNION ALL
SELECT 'stocks_quotes', _partition, count(*), max(_offset) - min(_offset) + 1,
       count(*) - count(DISTINCT _offset), min(ts_event), max(ts_event)
FROM bronze.stocks_quotes GROUP BY _partition
UNION ALL
SELECT 'stocks_trades', _partition, count(*), max(_offset) - min(_offset) + 1,
       count(*) - count(DISTINCT _offset), min(ts_event), max(ts_event)
FROM bronze.stocks_trades GROUP BY _partition
UNION ALL
SELECT 'options_quotes', _partition, count(*), max(_offset) - min(_offset) + 1,
       count(*) - count(DISTINCT _offset), min(ts_event), max(ts_event)
FROM bronze.options_quotes GROUP BY _partition
UNION ALL
SELECT 'options_trades', _partition, count(*), max(_offset) - min(_offset) + 1,
       count(*) - count(DISTINCT _offset), min(ts_event), max(ts_event)
FROM bronze.options_trades GROUP BY _partition
ORDER BY table_name, _partition
