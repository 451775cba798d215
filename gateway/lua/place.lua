-- Note where the payload of a live run is, and which replica has it.
-- KEYS record
-- ARGV gateway, payload kind, payload, replica
local found = redis.call('HMGET', KEYS[1], 'owner', 'state')
if found[1] ~= ARGV[1] or found[2] ~= 'PENDING' then
  return 0
end
redis.call('HSET', KEYS[1], 'kind', ARGV[2], 'payload', ARGV[3], 'replica', ARGV[4])
return 1
