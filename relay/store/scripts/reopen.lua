-- Open an ended or parked delivery again: one more round with the same key.
-- Atomic because the delivery, its lane and the event's open work change together.
--
-- ARGV: prefix, now, id, target, replay id ('' = a single retry), force (1/0), reason,
--       states that may be reopened (joined by a blank)
-- Returns: {'reopened'}, {'superseded'}, {'missing'}, or {'refused', present state}

local id, target, replay, force, reason = ARGV[3], ARGV[4], ARGV[5], ARGV[6] == '1', ARGV[7]
local record = P .. 'd:' .. id .. ':' .. target
local event = P .. 'e:' .. id
local was = redis.call('HGET', record, 'st')
if not was then return {'missing'} end
-- A replay that was cut off between this and its own book-keeping asks again: once is enough.
if replay ~= '' and redis.call('HGET', record, 'rp') == replay then return {'reopened'} end
if not (' ' .. ARGV[8] .. ' '):find(' ' .. was .. ' ', 1, true) then return {'refused', was} end

local at, lane, seq = unpack(redis.call('HMGET', event, 'at', 'lane', 'seq'))
local high = tonumber(redis.call('HGET', P .. 'n:' .. lane, 'hi:' .. target) or '0')
if tonumber(seq) < high and not force then
  if was ~= 'superseded' then
    redis.call('ZREM', P .. 'due:t:' .. target, id)
    redis.call('HDEL', record, 'force')
    move_delivery(id, target, 'superseded', 'a newer state of ' .. lane .. ' was delivered already')
  end
  return {'superseded'}
end

redis.call('HSET', record, 'st', 'waiting', 'due', NOW, 'up', NOW, 'why', reason, 'n', 0)
redis.call('HINCRBY', record, 'rd', redis.call('HEXISTS', record, 'rd') == 1 and 1 or 2)
redis.call('HDEL', record, 'rp', 'force', 'begun', 'lost', 'all')
if replay ~= '' then redis.call('HSET', record, 'rp', replay) end
if force then redis.call('HSET', record, 'force', 1) end
redis.call('ZREM', P .. 'ix:d:' .. target .. ':' .. was, id)
redis.call('ZADD', P .. 'ix:d:' .. target .. ':waiting', at, id)

local lane_key = P .. 'ld:' .. target .. ':' .. lane
local due = P .. 'due:t:' .. target
if is_open(was) then
  if redis.call('LINDEX', lane_key, 0) == id then redis.call('ZADD', due, NOW, id) end
else
  redis.call('HINCRBY', event, 'left', 1)
  redis.call('HDEL', event, 'done')
  redis.call('ZADD', P .. 'open', at, id)
  enter_delivery_lane(lane, target, id, seq)
end
redis.call('HINCRBY', P .. 'count', 'reopened', 1)
ring()
return {'reopened'}
