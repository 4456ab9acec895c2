-- Prolong the leases of one drain. Atomic because a lease that was taken over must not be prolonged by its old holder.
--
-- ARGV: prefix, now, lease in ms, then per piece of work: id, target ('' = the event itself), token
-- Returns: per piece 1, or 0 when it is lost.

local lease_end = string.format('%.3f', now + tonumber(ARGV[3]))
local out = {}
for i = 4, #ARGV, 3 do
  local id, target, token = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local record = target == '' and (P .. 'e:' .. id) or (P .. 'd:' .. id .. ':' .. target)
  local leases = target == '' and (P .. 'lease:e') or (P .. 'lease:t:' .. target)
  if redis.call('HGET', record, 'tok') == token and redis.call('ZSCORE', leases, id) then
    redis.call('ZADD', leases, 'XX', lease_end, id)
    out[#out + 1] = 1
  else
    out[#out + 1] = 0
  end
end
return out
