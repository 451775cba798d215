-- Note which replica has a live run.
-- KEYS record
-- ARGV gateway, replica
local found = redis.call('HMGET', KEYS[1], 'owner', 'state')
if found[1] ~= ARGV[1] or found[2] ~= 'PENDING' then
  return 0
end
redis.call('HSET', KEYS[1], 'replica', ARGV[2])
return 1
