-- Forget a run that was refused before its request was answered.
-- KEYS record, in-flight set of the gateway
-- ARGV id, gateway
redis.call('SREM', KEYS[2], ARGV[1])
local found = redis.call('HMGET', KEYS[1], 'owner', 'state')
if found[1] ~= ARGV[2] or found[2] ~= 'PENDING' then
  return 0
end
redis.call('DEL', KEYS[1])
local waiting = 'sw:run:' .. ARGV[1] .. ':waiting'
for _, gateway in ipairs(redis.call('SMEMBERS', waiting)) do
  redis.call('PUBLISH', 'sw:wake:' .. gateway, ARGV[1])
end
redis.call('DEL', waiting)
return 1
