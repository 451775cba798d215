-- Say that this gateway lives, and tell which others do not.
-- KEYS heartbeat of this gateway, set of all gateways
-- ARGV gateway, heartbeat TTL ms
-- Returns {1 when this gateway was not known (first beat, or Valkey lost its data), dead gateways...}.
redis.call('SET', KEYS[1], '1', 'PX', ARGV[2])
local answer = {redis.call('SADD', KEYS[2], ARGV[1])}
for _, gateway in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  if redis.call('EXISTS', 'sw:gateway:' .. gateway) == 0 then
    answer[#answer + 1] = gateway
  end
end
return answer
