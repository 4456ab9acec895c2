-- Forget snapshots of days that are long past. Atomic because a record that moves to another day meanwhile must
-- not lose one of snapshot and day: it would look new, or its end would never be seen.
--
-- ARGV: prefix, now, snapshots key, days key, first day that stays, most at once
-- Returns: how many were removed.

local snapshots, days = ARGV[3], ARGV[4]
local ids = redis.call('ZRANGEBYSCORE', days, 1, '(' .. ARGV[5], 'LIMIT', 0, ARGV[6])
if #ids > 0 then
  redis.call('HDEL', snapshots, unpack(ids))
  redis.call('ZREM', days, unpack(ids))
end
return #ids
