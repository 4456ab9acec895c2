-- Count a try to sign in against every limit it falls under, unless one of them is used up.
-- Atomic because a flood of tries at once would pass a limit that was read before it was raised.
--
-- ARGV: prefix, now, window in ms, then per limit: what it counts, how many tries it allows
-- Returns: 0 when the try was counted, else the ms to wait; then nothing was counted.

local wait = 0
for at = 4, #ARGV, 2 do
  local found = redis.call('HMGET', P .. 'try:' .. ARGV[at], 'n', 'until')
  local left = (tonumber(found[2]) or 0) - now
  if left > 0 and tonumber(found[1]) >= tonumber(ARGV[at + 1]) then wait = math.max(wait, left) end
end
if wait > 0 then return math.ceil(wait) end
for at = 4, #ARGV, 2 do
  local key = P .. 'try:' .. ARGV[at]
  if (tonumber(redis.call('HGET', key, 'until')) or 0) <= now then
    redis.call('DEL', key)
    redis.call('HSET', key, 'until', string.format('%.0f', now + tonumber(ARGV[3])))
    redis.call('PEXPIRE', key, ARGV[3])
  end
  redis.call('HINCRBY', key, 'n', 1)
end
return 0
