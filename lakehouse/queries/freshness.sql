-- How new is what the tables hold: the newest event of each, and when the sink read its newest record?
SELECT 'bronze.futures_mbp10' AS table_name, max(ts_event) AS newest_event, max(_ingested_at) AS read_at
FROM bronze.futures_mbp10
UNION ALL
SELECT 'bronze.futures_trades', max(ts_event), max(_ingested_at) FROM bronze.futures_trades
UNION ALL
SELECT 'bronze.stocks_quotes', max(ts_event), max(_ingested_at) FROM bronze.stocks_quotes
UNION ALL
SELECT 'bronze.stocks_trades', max(ts_event), max(_ingested_at) FROM bronze.stocks_trades
UNION ALL
SELECT 'bronze.options_quotes', max(ts_event), max(_ingested_at) FROM bronze.options_quotes
UNION ALL
SELECT 'bronze.options_trades', max(ts_event), max(_ingested_at) FROM bronze.options_trades
UNION ALL
SELECT 'gold.levels_features', max(ts_event), max(_ingested_at) FROM gold.levels_features
UNION ALL
SELECT 'gold.levels_signals', max(ts_event), max(_ingested_at) FROM gold.levels_signals
UNION ALL
SELECT 'gold.levels_outcomes', max(ts_event), max(_ingested_at) FROM gold.levels_outcomes
ORDER BY table_name
