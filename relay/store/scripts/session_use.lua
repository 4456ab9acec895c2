-- Read a session that is still good, and let it live on from now.
-- Atomic because a session that was ended meanwhile must not come back to life.
--
-- ARGV: prefix, now, hash of the session's id, longest time without use in ms ('' = look, without living on)
-- Returns: who, role, csrf token, stamp, begun (ms), ends (ms), the word left for its next page; or nil when there is no such session or it is over.

local key = P .. 'ses:' .. ARGV[3]
local found = redis.call('HMGET', key, 'who', 'role', 'csrf', 'stamp', 'begun', 'ends', 'until')
if not found[1] then return nil end
if tonumber(found[6]) <= now or tonumber(found[7]) <= now then
  redis.call('DEL', key)
  redis.call('ZREM', P .. 'sessions', ARGV[3])
  return nil
end
local word = ''
if ARGV[4] ~= '' then
  word = redis.call('HGET', key, 'word') or ''
  redis.call('HDEL', key, 'word')
  local idle = math.min(now + tonumber(ARGV[4]), tonumber(found[6]))
  redis.call('HSET', key, 'until', string.format('%.0f', idle))
  redis.call('PEXPIRE', key, string.format('%.0f', math.max(idle - now, 1)))
end
return {found[1], found[2], found[3], found[4], found[5], found[6], word}
