-- Leave a word for the next page of a session. Atomic because a session that is over must not come back to life.
--
-- ARGV: prefix, now, hash of the session's id, the word
-- Returns: 1, or 0 when the session is over.

local key = P .. 'ses:' .. ARGV[3]
if redis.call('EXISTS', key) == 0 then return 0 end
redis.call('HSET', key, 'word', ARGV[4])
return 1
