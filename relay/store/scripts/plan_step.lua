-- Count one item of a replay plan as done, if this runner still has the plan and stands where the plan stands.
-- Atomic because two runners must never count for each other: the rest of a plan would be passed over in silence.
--
-- ARGV: prefix, now, plan, owner, number of the item, result, lock in ms
-- Returns: 1, or 0 when somebody else has the plan now.

local plan = P .. 'plan:' .. ARGV[3]
if redis.call('GET', plan .. ':lock') ~= ARGV[4] then return 0 end
if redis.call('HGET', plan, 'done') ~= ARGV[5] then return 0 end
redis.call('HINCRBY', plan, 'done', 1)
redis.call('HINCRBY', plan, 'done_' .. ARGV[6], 1)
redis.call('PEXPIRE', plan .. ':lock', ARGV[7])
return 1
