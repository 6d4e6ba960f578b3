-- Where did customers' newest option trades leave the dealers' gamma, by strike?
-- The last window of options flow.
SELECT CAST(DATE '1970-01-01' + exp_date * INTERVAL '1' DAY AS DATE) AS expires, strike,
       sum(CASE WHEN "right" = 'C' THEN net_dealer_gamma ELSE 0 END) AS call_gamma,
       sum(CASE WHEN "right" = 'P' THEN net_dealer_gamma ELSE 0 END) AS put_gamma,
       sum(volume) AS volume, sum(premium) AS premium
FROM gold.options_flow
WHERE ts_event_ns = (SELECT max(ts_event_ns) FROM gold.options_flow)
GROUP BY exp_date, strike
ORDER BY expires, strike
