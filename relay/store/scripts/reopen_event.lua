-- Take an event that ended without deliveries (unrouted, or dead by a fault of ours) through the line once more.
-- Atomic because its state, its lane and the open work change together.
--
-- ARGV: prefix, now, id, states that may be reopened (joined by a blank)
-- Returns: {'reopened'}, {'missing'}, or {'refused', present state}

local id = ARGV[3]
local event = P .. 'e:' .. id
local was, lane, at = unpack(redis.call('HMGET', event, 'st', 'lane', 'at'))
if not was then return {'missing'} end
if not (' ' .. ARGV[4] .. ' '):find(' ' .. was .. ' ', 1, true) then return {'refused', was} end

-- It is read again, so what it says is of today: its deliveries are not older than what was delivered since.
redis.call('HSET', event, 'st', 'accepted', 'why', '', 'again', 1)
redis.call('HDEL', event, 'tries', 'faults', 'since', 'due', 'lost', 'done')
redis.call('ZREM', P .. 'ix:e:' .. was, id)
redis.call('ZADD', P .. 'open', at, id)
if redis.call('RPUSH', P .. 'le:' .. lane, id) == 1 then redis.call('ZADD', P .. 'due:e', NOW, id) end
redis.call('HINCRBY', P .. 'count', 'reopened', 1)
ring()
return {'reopened'}
