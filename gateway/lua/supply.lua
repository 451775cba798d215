-- Put the payload of a live run, which its caller sent again, where it outlives every process.
-- KEYS record
-- ARGV payload kind, payload
local found = redis.call('HMGET', KEYS[1], 'state', 'kind')
if found[1] ~= 'PENDING' or found[2] ~= 'copies' then
  return 0
end
redis.call('HSET', KEYS[1], 'kind', ARGV[1], 'payload', ARGV[2])
return 1
