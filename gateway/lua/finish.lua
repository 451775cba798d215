-- End a run, once: state, result, usage event and wake-ups in one step.
-- KEYS record, usage stream
-- ARGV id, gateway, state, duration ms, result kind, result, ended ms, result TTL ms, charge (0 or 1), about (JSON), accepted ms, digest,
--      then the usage event's fields and values
-- Returns 1 when this call ended the run, 0 when it had ended before.
local found = redis.call('HMGET', KEYS[1], 'state', 'owner', 'answered', 'unpaid')
local usage = {}
for index = 13, #ARGV do
  usage[#usage + 1] = ARGV[index]
end
if found[1] and found[1] ~= 'PENDING' then
  -- An adopter ended it without a charge because it did not know that the request had been answered; the first owner does know.
  if found[4] and ARGV[9] == '1' then
    redis.call('XADD', KEYS[2], '*', unpack(cjson.decode(found[4])))
    redis.call('HDEL', KEYS[1], 'unpaid')
  end
  redis.call('SREM', 'sw:gateway:' .. ARGV[2] .. ':runs', ARGV[1])
  return 0
end
if not found[1] then
  redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'about', ARGV[10], 'accepted', ARGV[11], 'digest', ARGV[12])
end
redis.call('HSET', KEYS[1], 'state', ARGV[3], 'duration', ARGV[4], 'result_kind', ARGV[5], 'result', ARGV[6])
if ARGV[5] == 'object' then
  redis.call('ZADD', 'sw:objects', ARGV[7] + ARGV[8], string.match(ARGV[6], '%S+'))
end
redis.call('HDEL', KEYS[1], 'payload', 'token')
redis.call('PEXPIRE', KEYS[1], ARGV[8])
redis.call('SREM', 'sw:gateway:' .. ARGV[2] .. ':runs', ARGV[1])
if found[2] and found[2] ~= ARGV[2] then
  redis.call('SREM', 'sw:gateway:' .. found[2] .. ':runs', ARGV[1])
end
if ARGV[9] == '1' or found[3] == '1' then
  redis.call('XADD', KEYS[2], '*', unpack(usage))
else
  redis.call('HSET', KEYS[1], 'unpaid', cjson.encode(usage))
end
local waiting = 'sw:run:' .. ARGV[1] .. ':waiting'
local gateways = redis.call('SMEMBERS', waiting)
if #gateways > 0 then
  for _, gateway in ipairs(gateways) do
    redis.call('PUBLISH', 'sw:wake:' .. gateway, ARGV[1])
  end
  redis.call('DEL', waiting)
end
return 1
