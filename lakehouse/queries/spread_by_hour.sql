-- Book updates, mean spread and mean size at the best prices, by hour.
SELECT date_trunc('hour', ts_event) AS hour, symbol, count(*) AS updates,
       round(avg(ask_px_1 - bid_px_1), 4) AS spread, round(avg(bid_sz_1), 1) AS bid_size, round(avg(ask_sz_1), 1) AS ask_size
FROM bronze.futures_mbp10
WHERE bid_px_1 IS NOT NULL AND ask_px_1 IS NOT NULL
GROUP BY ALL
ORDER BY hour, symbol
