-- Count a run that a workspace starts, unless it has started as many as it may in the minute that its first one began.
-- KEYS counter of the workspace
-- ARGV runs that it may start in a minute
-- Returns 0 when the run is counted, else the milliseconds until the next minute.
local started = tonumber(redis.call('GET', KEYS[1]) or '0')
local left = started > 0 and redis.call('PTTL', KEYS[1]) or -1
if started >= tonumber(ARGV[1]) then
  return left > 0 and left or 60000
end
redis.call('INCR', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], 60000)
end
return 0
