-- What was traded at each price, and who began it?
SELECT symbol, price, sum(size) AS volume,
       coalesce(sum(size) FILTER (WHERE aggressor = 'BUY'), 0) AS bought,
       coalesce(sum(size) FILTER (WHERE aggressor = 'SELL'), 0) AS sold
FROM bronze.futures_trades
GROUP BY symbol, price
ORDER BY symbol, price
