-- Needs: _opening
-- Open an ended or waiting delivery again: one more round with the same key.
-- Atomic because the delivery, its lane and the event's open work change together.
--
-- ARGV: prefix, now, id, target, replay id ('' = a single retry), force (1/0), reason,
--       states that may be reopened (joined by a blank)
-- Returns: {'reopened'}, {'superseded'}, {'missing'}, or {'refused', present state}

local id, target, replay = ARGV[3], ARGV[4], ARGV[5]
-- A replay that was cut off between this and its own book-keeping asks again: once is enough.
if replay ~= '' and redis.call('HGET', P .. 'd:' .. id .. ':' .. target, 'rp') == replay then return {'reopened'} end
local how = {reason = ARGV[7], plan = replay, force = ARGV[6] == '1', salt = '', own = '', upto = ''}
local answer, state = open_again(id, target, ARGV[8], how)
if answer == 'reopened' then ring() end
return {answer, state}
