-- The result of an ended run, which was only in two memories, now has a lasting place.
-- KEYS record
-- ARGV result kind, result, when an object may be deleted (ms)
if redis.call('HGET', KEYS[1], 'result_kind') ~= 'runtime' then
  return 0
end
redis.call('HSET', KEYS[1], 'result_kind', ARGV[1], 'result', ARGV[2])
if ARGV[1] == 'object' then
  redis.call('ZADD', 'sw:objects', ARGV[3], string.match(ARGV[2], '%S+'))
end
return 1
