-- Tell the state of a run to someone who asks for it, who thereby shows that they know of it: from now on it is charged.
-- KEYS record, usage stream
-- ARGV id, gateway, whether it waits (0 or 1), waiting TTL ms
-- Returns {whether this gateway is known} for an unknown run (if it is not, Valkey has lost its data), else {state, about, accepted ms, result kind, result, duration ms}.
local found = redis.call('HMGET', KEYS[1], 'state', 'about', 'accepted', 'result_kind', 'result', 'duration', 'answered', 'unpaid')
if not found[1] then
  return {redis.call('SISMEMBER', 'sw:gateways', ARGV[2])}
end
if found[1] == 'PENDING' then
  if found[7] ~= '1' then
    redis.call('HSET', KEYS[1], 'answered', '1')
  end
  if ARGV[3] == '1' then
    local waiting = 'sw:run:' .. ARGV[1] .. ':waiting'
    redis.call('SADD', waiting, ARGV[2])
    redis.call('PEXPIRE', waiting, ARGV[4])
  end
elseif found[8] then
  redis.call('XADD', KEYS[2], '*', unpack(cjson.decode(found[8])))
  redis.call('HDEL', KEYS[1], 'unpaid')
end
return {found[1], found[2], found[3], found[4] or '', found[5] or '', found[6] or '0'}
