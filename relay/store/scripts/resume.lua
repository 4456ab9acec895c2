-- Send to a target again: ends a pause, a hold and an open breaker, and lets what failed meanwhile go now.
-- Atomic because a worker must not find the target open and its deliveries still put off.
--
-- ARGV: prefix, now, target, then the fields of its hash that are in the way
-- Returns: how many of these there were.

local gone = redis.call('HDEL', P .. 't:' .. ARGV[3], unpack(ARGV, 4))
if gone > 0 then bring_forward(ARGV[3]) end
ring()
return gone
