-- How many records came late, and how long did records take from the event to us, by source?
SELECT 'futures_trades' AS table_name, source, count(*) AS records, count(*) FILTER (WHERE is_late) AS late,
       round(avg(ts_recv_ns - ts_event_ns) / 1e6, 3) AS mean_ms, round(max(ts_recv_ns - ts_event_ns) / 1e6, 3) AS most_ms
FROM bronze.futures_trades GROUP BY source
UNION ALL
SELECT 'stocks_trades', source, count(*), count(*) FILTER (WHERE is_late),
       round(avg(ts_recv_ns - ts_event_ns) / 1e6, 3), round(max(ts_recv_ns - ts_event_ns) / 1e6, 3)
FROM bronze.stocks_trades GROUP BY source
UNION ALL
SELECT 'options_trades', source, count(*), count(*) FILTER (WHERE is_late),
       round(avg(ts_recv_ns - ts_event_ns) / 1e6, 3), round(max(ts_recv_ns - ts_event_ns) / 1e6, 3)
FROM bronze.options_trades GROUP BY source
ORDER BY table_name, source
