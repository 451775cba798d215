-- Write the record of an accepted run, once. Also used to write the records of live runs again after Valkey lost data.
-- KEYS record, in-flight set of the gateway
-- ARGV id, gateway, about (JSON), digest, accepted ms, payload kind, payload, replica, storage token, record TTL ms, answered (0 or 1),
--      whether the id may begin a run (0 or 1)
-- Returns {1} when the run is this gateway's, {0, about, digest} when the id is taken, {0} when it is not but may begin no run.
local found = redis.call('HMGET', KEYS[1], 'owner', 'state', 'about', 'digest')
if found[1] then
  if found[1] == ARGV[2] and found[2] == 'PENDING' and found[4] == ARGV[4] then
    redis.call('SADD', KEYS[2], ARGV[1])
    return {1}
  end
  return {0, found[3], found[4]}
end
if ARGV[12] == '0' then
  return {0}
end
redis.call('HSET', KEYS[1], 'state', 'PENDING', 'owner', ARGV[2], 'about', ARGV[3], 'digest', ARGV[4], 'accepted', ARGV[5],
  'kind', ARGV[6], 'payload', ARGV[7], 'replica', ARGV[8], 'token', ARGV[9], 'answered', ARGV[11])
redis.call('PEXPIRE', KEYS[1], ARGV[10])
redis.call('SADD', KEYS[2], ARGV[1])
return {1}
