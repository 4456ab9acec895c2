-- Changes what is kept of a target's signing secret, if it is still as it was read.
--
-- ARGV   1 prefix, 2 now (ms), 3 target, 4 the record as it was read ("" none), 5 the new record ("" none)
-- Return 1 changed, 0 it is another one by now
-- Atomic because two people who rotate at once would else each be shown a secret, and only one of them signs.

local key = P .. 'sig:' .. ARGV[3]
if (redis.call('GET', key) or '') ~= ARGV[4] then return 0 end
if ARGV[5] == '' then redis.call('DEL', key) else redis.call('SET', key, ARGV[5]) end
return 1
