-- Move the next part of a replay plan's draft to its list of items.
-- Atomic because an item must stand in one of them.
--
-- ARGV: prefix, now, plan, target, most, life of an unfinished list in ms
-- Returns: how many were moved; 0: nothing is left.

local plan = P .. 'plan:' .. ARGV[3]
local draft = plan .. ':draft:' .. ARGV[4]
local found = redis.call('ZRANGE', draft, 0, tonumber(ARGV[5]) - 1)
if #found == 0 then return 0 end
-- The sequence before an item served its order only.
for n, member in ipairs(found) do found[n] = member:match('^%d+:(.*)$') end
for n = 1, #found, 500 do redis.call('RPUSH', plan .. ':items', unpack(found, n, math.min(n + 499, #found))) end
redis.call('ZREMRANGEBYRANK', draft, 0, #found - 1)
redis.call('PEXPIRE', plan .. ':items', ARGV[6])
return #found
