-- End a delivery that nobody shall send any more: a parked one that the target turned out to have, or a waiting one.
-- Atomic because the delivery, its lane and the event's open work change together.
--
-- ARGV: prefix, now, id, target, reason
-- Returns: {'cancelled'}, {'missing'}, or {'refused', present state}

local id, target = ARGV[3], ARGV[4]
local was, tried, lost, upto = unpack(redis.call('HMGET', P .. 'd:' .. id .. ':' .. target, 'st', 'n', 'all', 'upto'))
if not was then return {'missing'} end
if was ~= 'waiting' and was ~= 'parked' and was ~= 'dead' then return {'refused', was} end
not_due(target, id)
if was == 'parked' and (tried ~= '0' or lost) then
  -- As a rule the target turned out to have it, so nothing older may follow it. What was never tried is not there.
  local lane, seq = unpack(redis.call('HMGET', P .. 'e:' .. id, 'lane', 'seq'))
  raise_high(lane, target, seq, upto)
end
move_delivery(id, target, 'cancelled', ARGV[5])
ring()
return {'cancelled'}
