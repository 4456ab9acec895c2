-- Replace one value by another, wherever it stands, if it is still the one that was read.
-- Atomic because somebody may have written it anew meanwhile: then it is left as it is, and looked at again.
--
-- ARGV: prefix, now, type of the key (string, hash, list), key below the prefix, field or index ('' for a string), what
--       was read, what shall stand there
-- Returns: 1, or 0 when it had changed.

local kind, key, place, old, new = ARGV[3], P .. ARGV[4], ARGV[5], ARGV[6], ARGV[7]
if kind == 'string' then
  if redis.call('GET', key) ~= old then return 0 end
  redis.call('SET', key, new, 'KEEPTTL')
elseif kind == 'hash' then
  if redis.call('HGET', key, place) ~= old then return 0 end
  redis.call('HSET', key, place, new)
else
  if redis.call('LINDEX', key, place) ~= old then return 0 end
  redis.call('LSET', key, place, new)
end
return 1
