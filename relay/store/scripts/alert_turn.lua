-- Take a turn at something that one of all workers does every so often.
-- Atomic because two that look at once must not both take it. Nobody gives a turn back: whoever dies with it is
-- followed at the next.
--
-- ARGV: prefix, now, what, seconds to the next turn in ms
-- Returns: 1 if the turn is the caller's, else 0.

local turns, what = P .. 'alerts:turns', ARGV[3]
-- A turn that lies further ahead than any can was taken by a clock that ran wrong.
local from_now = tonumber(redis.call('HGET', turns, what) or '0') - now
if from_now > 0 and from_now <= tonumber(ARGV[4]) then return 0 end
redis.call('HSET', turns, what, now + tonumber(ARGV[4]))
return 1
