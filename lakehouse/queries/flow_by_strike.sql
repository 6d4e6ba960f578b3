-- What was traded in options on the last day, by strike: contracts, premium, and who began it?
SELECT underlying, CAST(DATE '1970-01-01' + exp_date * INTERVAL '1' DAY AS DATE) AS expires, strike, "right" AS call_or_put,
       sum(size) AS contracts,
       round(sum(price * size * 100), 2) AS premium,
       coalesce(sum(size) FILTER (WHERE aggressor = 'BUY'), 0) AS bought,
       coalesce(sum(size) FILTER (WHERE aggressor = 'SELL'), 0) AS sold
FROM bronze.options_trades
WHERE date_trunc('day', ts_event) = (SELECT date_trunc('day', max(ts_event)) FROM bronze.options_trades)
GROUP BY underlying, exp_date, strike, "right"
ORDER BY underlying, expires, strike, call_or_put
