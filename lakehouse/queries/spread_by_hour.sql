-- How wide and how deep is the book, by hour: mean spread, and mean size at the best price and on all ten levels?
SELECT date_trunc('hour', ts_event) AS hour, symbol, count(*) AS updates,
       round(avg(ask_px_1 - bid_px_1), 4) AS spread,
       round(avg(bid_sz_1), 2) AS bid_size, round(avg(ask_sz_1), 2) AS ask_size,
       round(avg(coalesce(bid_sz_1, 0) + coalesce(bid_sz_2, 0) + coalesce(bid_sz_3, 0) + coalesce(bid_sz_4, 0)
           + coalesce(bid_sz_5, 0) + coalesce(bid_sz_6, 0) + coalesce(bid_sz_7, 0) + coalesce(bid_sz_8, 0)
           + coalesce(bid_sz_9, 0) + coalesce(bid_sz_10, 0)), 2) AS bid_depth,
       round(avg(coalesce(ask_sz_1, 0) + coalesce(ask_sz_2, 0) + coalesce(ask_sz_3, 0) + coalesce(ask_sz_4, 0)
           + coalesce(ask_sz_5, 0) + coalesce(ask_sz_6, 0) + coalesce(ask_sz_7, 0) + coalesce(ask_sz_8, 0)
           + coalesce(ask_sz_9, 0) + coalesce(ask_sz_10, 0)), 2) AS ask_depth
FROM bronze.futures_mbp10
WHERE bid_px_1 IS NOT NULL AND ask_px_1 IS NOT NULL
GROUP BY date_trunc('hour', ts_event), symbol
ORDER BY hour, symbol
