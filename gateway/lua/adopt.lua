-- Take over runs of a dead gateway: compare-and-set on the owner of each.
-- KEYS set of all gateways, in-flight set of the adopter
-- ARGV dead gateway, adopter, at most this many runs
-- Returns {more to come (0 or 1), then for each run: id, about, accepted ms, kind, payload, replica, token, digest}.
if redis.call('EXISTS', 'sw:gateway:' .. ARGV[1]) == 1 then
  return {0}
end
local theirs = 'sw:gateway:' .. ARGV[1] .. ':runs'
local answer = {0}
for _, id in ipairs(redis.call('SPOP', theirs, ARGV[3])) do
  local record = 'sw:run:' .. id
  local found = redis.call('HMGET', record, 'owner', 'state', 'about', 'accepted', 'kind', 'payload', 'replica', 'token', 'digest')
  if found[1] == ARGV[1] and found[2] == 'PENDING' then
    redis.call('HSET', record, 'owner', ARGV[2])
    redis.call('SADD', KEYS[2], id)
    answer[#answer + 1] = id
    for index = 3, 9 do
      answer[#answer + 1] = found[index] or ''
    end
  end
end
if redis.call('SCARD', theirs) > 0 then
  answer[1] = 1
else
  redis.call('SREM', KEYS[1], ARGV[1])
end
return answer
