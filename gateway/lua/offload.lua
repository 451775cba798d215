-- The result of an ended run now lies in the object store: drop the copy.
-- KEYS record
-- ARGV object key, when the object may be deleted (ms)
if redis.call('HGET', KEYS[1], 'result_kind') ~= 'inline' then
  return 0
end
redis.call('HSET', KEYS[1], 'result_kind', 'object', 'result', ARGV[1])
redis.call('ZADD', 'sw:objects', ARGV[2], ARGV[1])
return 1
