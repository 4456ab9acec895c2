-- Put one leased event back until later, or end it as dead; its lane waits with it, or goes on.
-- Atomic and fenced because a second worker may hold the event by now.
--
-- ARGV: prefix, now, id, token, due in ms ('' = dead), reason, counter of this kind of wait ('' = none is counted),
--       whether this wait uses up the patience with Planday (1/0; 0 ends a wait that did)
-- Returns: 1, or 0 when somebody else holds it.

local id, token, due, reason, counter = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local event = P .. 'e:' .. id
local state, held, lane, at = unpack(redis.call('HMGET', event, 'st', 'tok', 'lane', 'at'))
if state ~= 'accepted' or held ~= token then return 0 end
redis.call('ZREM', P .. 'lease:e', id)
if ARGV[8] == '1' then redis.call('HSETNX', event, 'since', NOW) else redis.call('HDEL', event, 'since') end
if counter ~= '' then redis.call('HINCRBY', event, counter, 1) end
redis.call('HDEL', event, 'lost')
if due == '' then
  redis.call('HSET', event, 'st', 'dead', 'why', reason)
  redis.call('HDEL', event, 'due')
  redis.call('ZADD', P .. 'ix:e:dead', at, id)
  redis.call('HINCRBY', P .. 'count', 'dead_event', 1)
  leave_event_lane(lane, id)
  close_event(id)
else
  redis.call('HSET', event, 'due', due, 'why', reason)
  redis.call('ZADD', due_events(lane), due, id)
end
return 1
