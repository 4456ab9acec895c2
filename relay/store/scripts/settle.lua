-- Record attempts and what follows from each: a later try, or an end.
-- Atomic and fenced because a settler whose lease was taken over must change nothing. One whose lease was taken back
-- and not given out again may still say that it was delivered: nobody knows better, and nothing is sent twice.
--
-- ARGV: prefix, now, most attempts kept, then per delivery: id, target, token, state, due in ms ('' = none), reason,
--       attempt (JSON), hold of the whole target in ms ('' = none), pause of the target ('' = none)
-- Returns: per delivery 1, or 0 when somebody else holds it.

local kept = tonumber(ARGV[3])
local out = {}
for i = 4, #ARGV, 9 do
  local id, target, token, state, due = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local reason, attempt, hold, pause = ARGV[i + 5], ARGV[i + 6], ARGV[i + 7], ARGV[i + 8]
  local record = P .. 'd:' .. id .. ':' .. target
  local was, held = unpack(redis.call('HMGET', record, 'st', 'tok'))
  local late = state == 'delivered' and (was == 'waiting' or was == 'parked') and tonumber(held) == tonumber(token) + 1
  if not late and (was ~= 'sending' or held ~= token) then
    out[#out + 1] = 0
  else
    redis.call('ZREM', P .. 'lease:t:' .. target, id)
    if late then redis.call('ZREM', P .. 'due:t:' .. target, id) end
    redis.call('HINCRBY', record, 'n', 1)
    redis.call('HDEL', record, 'begun', 'lost')
    redis.call('RPUSH', P .. 'a:' .. id .. ':' .. target, attempt)
    redis.call('LTRIM', P .. 'a:' .. id .. ':' .. target, -kept, -1)
    if due ~= '' then
      redis.call('HSET', record, 'due', due)
      redis.call('ZADD', P .. 'due:t:' .. target, due, id)
    end
    move_delivery(id, target, state, reason)
    local held_until = tonumber(redis.call('HGET', P .. 't:' .. target, 'hold') or '0')
    if hold ~= '' and tonumber(hold) > held_until then redis.call('HSET', P .. 't:' .. target, 'hold', hold) end
    if pause ~= '' and redis.call('HSETNX', P .. 't:' .. target, 'paused', pause) == 1 then
      redis.call('HSET', P .. 't:' .. target, 'since', NOW, 'by', 'relay')
    end
    out[#out + 1] = 1
  end
end
return out
