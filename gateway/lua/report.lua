-- Tell the control plane how much each deployment has to do here.
-- KEYS sorted set of active deployments, then the load hash of each deployment
-- ARGV gateway, now ms, TTL of a load hash in s, how long a deployment is kept in the set in ms,
--      then for each deployment: id, "<in flight>:<last request ms>:<reported ms>"
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[2] - ARGV[4])
for index = 2, #KEYS do
  redis.call('HSET', KEYS[index], ARGV[1], ARGV[2 * index + 2])
  redis.call('EXPIRE', KEYS[index], ARGV[3])
  redis.call('ZADD', KEYS[1], ARGV[2], ARGV[2 * index + 1])
end
return #KEYS - 1
