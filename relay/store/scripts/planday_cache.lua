-- Keeps one record that was read from Planday, unless one that was read later is there.
--
-- KEYS   1 cache entry (string: the time of reading in ms, a line break, the value)
-- ARGV   1 time of reading in ms; 2 value; 3 lifetime in ms
-- Return 1 kept, 0 there is a newer one
-- Atomic because a slow read that began before a change must not hide what was read after it.

local there = redis.call('GET', KEYS[1])
local at = there and tonumber(string.match(there, '^(%d+)\n'))
if at and at > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. '\n' .. ARGV[2], 'PX', ARGV[3])
return 1
