-- Volume traded at each price, by aggressor.
SELECT price, sum(size) AS volume,
       sum(size) FILTER (WHERE aggressor = 'BUY') AS bought,
       sum(size) FILTER (WHERE aggressor = 'SELL') AS sold
FROM bronze.futures_trades
GROUP BY price
ORDER BY price
