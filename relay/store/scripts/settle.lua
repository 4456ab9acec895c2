-- Record attempts and what follows from each: a later try, or an end; and what they say of the target (its breaker).
-- Atomic and fenced because a settler whose lease was taken over must change nothing. One whose lease was taken back
-- and not given out again may still say that it was delivered: nobody knows better, and nothing is sent twice.
--
-- ARGV: prefix, now, most attempts kept, then per delivery: id, target, token, state, due in ms ('' = none), reason,
--       attempt (JSON), hold of the whole target in ms ('' = none), pause of the target ('' = none),
--       what the attempt says of the target ('good', 'bad', 'unsent' or ''), and its breaker: failures in a row, fewest calls of a
--       sample, share of failures in it in percent, its span in ms, first and longest wait in ms,
--       whether the target may have it though nobody knows (1/0), whether it is sent alone from now on (1/0)
-- Returns: per delivery 'lost' (somebody else holds it), 'kept', 'opened' or 'closed' (kept, and so did the breaker).
--
-- The breaker (docs/decisions/0015) is in the target's hash: closed (no `brk`), `open` until `until`, `half` while its one
-- probe is under way. Only the probe decides what becomes of an open one.

local kept = tonumber(ARGV[3])
local WIDTH = 18

local function open(state, since, trips, first, longest)
  local wait = math.min(first * 2 ^ trips, longest)
  redis.call('HSET', state, 'brk', 'open', 'brk_since', since, 'trips', trips, 'until', string.format('%.3f', now + wait))
  redis.call('HDEL', state, 'probe', 'fails', 'win', 'ok', 'bad')
end

local function judge(target, id, verdict, failures, sample, share, span, first, longest)
  local state = P .. 't:' .. target
  local breaker, probe, trips, since, fails, window, ok, bad = unpack(redis.call(
    'HMGET', state, 'brk', 'probe', 'trips', 'brk_since', 'fails', 'win', 'ok', 'bad'))
  if breaker then
    if breaker ~= 'half' or probe ~= id then return 'kept' end
    if verdict == 'good' then
      redis.call('HDEL', state, 'brk', 'brk_since', 'trips', 'until', 'probe')
      bring_forward(target)
      ring()
      return 'closed'
    end
    if verdict == 'unsent' then
      -- The target was not asked: the next one may try at once.
      redis.call('HDEL', state, 'probe')
      ring()
      return 'kept'
    end
    open(state, since, verdict == 'bad' and tonumber(trips) + 1 or tonumber(trips), first, longest)
    return 'kept'
  end
  if window and now - tonumber(window) >= span then
    redis.call('HDEL', state, 'win', 'ok', 'bad')
    window, ok, bad = nil, nil, nil
  end
  if verdict == 'good' then
    if fails then redis.call('HDEL', state, 'fails') end
    if window then redis.call('HINCRBY', state, 'ok', 1) end
  elseif verdict == 'bad' then
    if not window then redis.call('HSET', state, 'win', NOW) end
    local missed = redis.call('HINCRBY', state, 'bad', 1)
    local calls = missed + tonumber(ok or '0')
    local in_a_row = redis.call('HINCRBY', state, 'fails', 1)
    if in_a_row >= failures or (calls >= sample and missed * 100 >= share * calls) then
      open(state, NOW, 0, first, longest)
      return 'opened'
    end
  end
  return 'kept'
end

local out = {}
for i = 4, #ARGV, WIDTH do
  local id, target, token, state, due = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local reason, attempt, hold, pause = ARGV[i + 5], ARGV[i + 6], ARGV[i + 7], ARGV[i + 8]
  local record = P .. 'd:' .. id .. ':' .. target
  local was, held = unpack(redis.call('HMGET', record, 'st', 'tok'))
  local late = state == 'delivered' and (was == 'waiting' or was == 'parked') and tonumber(held) == tonumber(token) + 1
  if not late and (was ~= 'sending' or held ~= token) then
    out[#out + 1] = 'lost'
  else
    redis.call('ZREM', P .. 'lease:t:' .. target, id)
    if late then not_due(target, id) end
    -- Who was tried ahead of its time has still its whole schedule.
    local ahead = redis.call('HDEL', record, 'ahead') == 1 and state == 'waiting'
    redis.call('HINCRBY', record, ahead and 'all' or 'n', 1)
    redis.call('HDEL', record, 'begun', 'lost')
    redis.call('RPUSH', P .. 'a:' .. id .. ':' .. target, attempt)
    redis.call('LTRIM', P .. 'a:' .. id .. ':' .. target, -kept, -1)
    if due ~= '' then
      redis.call('HSET', record, 'due', due)
      make_due(target, id, due)
    end
    if ARGV[i + 17] == '1' then redis.call('HSET', record, 'alone', 1) end
    if ARGV[i + 16] == '1' then
      local lane, seq = unpack(redis.call('HMGET', P .. 'e:' .. id, 'lane', 'seq'))
      raise_high(lane, target, seq, redis.call('HGET', record, 'upto'))
    end
    move_delivery(id, target, state, reason)
    if hold ~= '' then
      local held_until = tonumber(redis.call('HGET', P .. 't:' .. target, 'hold') or '0')
      if tonumber(hold) > held_until then redis.call('HSET', P .. 't:' .. target, 'hold', hold) end
    end
    if pause ~= '' and redis.call('HSETNX', P .. 't:' .. target, 'paused', pause) == 1 then
      redis.call('HSET', P .. 't:' .. target, 'since', NOW, 'by', 'relay')
    end
    out[#out + 1] = judge(target, id, ARGV[i + 9], tonumber(ARGV[i + 10]), tonumber(ARGV[i + 11]),
      tonumber(ARGV[i + 12]), tonumber(ARGV[i + 13]), tonumber(ARGV[i + 14]), tonumber(ARGV[i + 15]))
  end
end
return out
