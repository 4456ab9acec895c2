-- Take back what dead workers held, then lease due events and due deliveries to one drain.
-- Atomic because two drains must never hold the same work, and because concurrency and rate are counted here.
--
-- ARGV: prefix, now, lease in ms, most events, most deliveries, most lost leases before we give up,
--       then per target: name, concurrency, interval in ms (0: no rate), burst, limiter, dedupes (1/0)
-- Returns: {released events, released deliveries, next due in ms or -1, events, deliveries}
--   event:    {id, token, sequence, tries, faults, waiting since (ms or ''), body}
--   delivery: {id, target, token, sequence, attempt, step, round, replay id or '', body, accepted at in ms}
--
-- `attempt` numbers the attempts of a round, those lost with their worker included; `step` leaves these out: a crash
-- does not use up the schedule.

local lease_end = string.format('%.3f', now + tonumber(ARGV[3]))
local most_events = tonumber(ARGV[4])
local room = tonumber(ARGV[5])
local most_lost = tonumber(ARGV[6])
local released_events, released = 0, 0
local soonest = -1

local function sooner(at)
  if at and (soonest < 0 or at < soonest) then soonest = at end
end

local function first_score(key)
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return first[2] and tonumber(first[2])
end

-- Events -----------------------------------------------------------------------------------------

for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'lease:e', '-inf', NOW, 'LIMIT', 0, 200)) do
  local event = P .. 'e:' .. id
  redis.call('ZREM', P .. 'lease:e', id)
  redis.call('HINCRBY', event, 'tok', 1)
  released_events = released_events + 1
  if redis.call('HINCRBY', event, 'lost', 1) > most_lost then
    redis.call('HSET', event, 'st', 'dead', 'why', 'the worker died ' .. most_lost .. ' times while it handled this event')
    redis.call('ZADD', P .. 'ix:e:dead', redis.call('HGET', event, 'at'), id)
    redis.call('HINCRBY', P .. 'count', 'dead_event', 1)
    leave_event_lane(redis.call('HGET', event, 'lane'), id)
    close_event(id)
  else
    redis.call('ZADD', P .. 'due:e', NOW, id)
  end
end

local events = {}
if most_events > 0 then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'due:e', '-inf', NOW, 'LIMIT', 0, most_events)) do
    local event = P .. 'e:' .. id
    redis.call('ZREM', P .. 'due:e', id)
    redis.call('ZADD', P .. 'lease:e', lease_end, id)
    local token = redis.call('HINCRBY', event, 'tok', 1)
    local seq, tries, faults, since = unpack(redis.call('HMGET', event, 'seq', 'tries', 'faults', 'since'))
    local body = redis.call('GET', P .. 'b:' .. id)
    local newest = redis.call('HGET', P .. 'n:' .. redis.call('HGET', event, 'lane'), 'rd')
    if body then
      events[#events + 1] = {
        id, token, tonumber(seq), tonumber(tries or '0'), tonumber(faults or '0'), since or '', body, newest or '',
      }
    else
      redis.call('ZREM', P .. 'lease:e', id)
    end
  end
end
-- What is due and found no room is no reason to look again: a piece of work that ends is.
if #events < most_events then sooner(first_score(P .. 'due:e')) end

-- Deliveries ---------------------------------------------------------------------------------------

local function take_back(target, dedupes)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'lease:t:' .. target, '-inf', NOW, 'LIMIT', 0, 200)) do
    local record = P .. 'd:' .. id .. ':' .. target
    redis.call('ZREM', P .. 'lease:t:' .. target, id)
    local begun = redis.call('HGET', record, 'begun')
    redis.call('HINCRBY', record, 'tok', 1)
    redis.call('HDEL', record, 'begun')
    released = released + 1
    local lost = redis.call('HINCRBY', record, 'lost', 1)
    redis.call('HINCRBY', record, 'all', 1)
    if begun and not dedupes then
      move_delivery(id, target, 'parked', 'the worker died while it was sending: the target may have it')
    elseif lost > most_lost then
      move_delivery(id, target, 'dead', 'the worker died ' .. most_lost .. ' times while it held this delivery')
    else
      redis.call('HSET', record, 'st', 'waiting', 'due', NOW)
      redis.call('ZADD', P .. 'due:t:' .. target, NOW, id)
    end
  end
end

-- How many calls the limiter lets start now (GCRA: the theoretical arrival time moves on by one interval a call).
local function allowance(limiter, interval, burst, wanted)
  if interval <= 0 then return wanted end
  local key = P .. 'rate:' .. limiter
  local tat = math.max(tonumber(redis.call('GET', key) or '0'), now)
  local granted = 0
  while granted < wanted and tat - now <= (burst - 1) * interval + 0.001 do
    tat = tat + interval
    granted = granted + 1
  end
  if granted > 0 then
    redis.call('SET', key, string.format('%.3f', tat), 'PX', math.ceil(tat - now + interval * burst) + 1000)
  end
  if granted < wanted then sooner(tat - (burst - 1) * interval) end
  return granted
end

local deliveries = {}
for i = 7, #ARGV, 6 do
  local target, concurrency = ARGV[i], tonumber(ARGV[i + 1])
  local interval, burst = tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local limiter, dedupes = ARGV[i + 4], ARGV[i + 5] == '1'
  local due = P .. 'due:t:' .. target
  local leases = P .. 'lease:t:' .. target
  take_back(target, dedupes)
  local paused, hold = unpack(redis.call('HMGET', P .. 't:' .. target, 'paused', 'hold'))
  hold = tonumber(hold or '0')
  if paused then
    -- Waits for a person; nothing to wake up for.
  elseif hold > now then
    if redis.call('ZCARD', due) > 0 then sooner(hold) end
  else
    local free = math.min(concurrency - redis.call('ZCARD', leases), room - #deliveries)
    local ids = free > 0 and redis.call('ZRANGEBYSCORE', due, '-inf', NOW, 'LIMIT', 0, free) or {}
    local ready = {}
    for _, id in ipairs(ids) do
      local record = P .. 'd:' .. id .. ':' .. target
      redis.call('ZREM', due, id)
      local lane, seq = unpack(redis.call('HMGET', P .. 'e:' .. id, 'lane', 'seq'))
      local high = tonumber(redis.call('HGET', P .. 'n:' .. lane, 'hi:' .. target) or '0')
      if tonumber(seq) < high and not redis.call('HGET', record, 'force') then
        move_delivery(id, target, 'superseded', 'a newer state of ' .. lane .. ' was delivered already')
      else
        ready[#ready + 1] = {id, seq}
      end
    end
    local granted = allowance(limiter, interval, burst, #ready)
    for index, pair in ipairs(ready) do
      local id, seq = pair[1], pair[2]
      local record = P .. 'd:' .. id .. ':' .. target
      if index > granted then
        redis.call('ZADD', due, redis.call('HGET', record, 'due') or NOW, id)
      else
        redis.call('ZADD', leases, lease_end, id)
        local token = redis.call('HINCRBY', record, 'tok', 1)
        redis.call('HSET', record, 'st', 'sending')
        local n, all, round, replay = unpack(redis.call('HMGET', record, 'n', 'all', 'rd', 'rp'))
        local at = redis.call('HGET', P .. 'e:' .. id, 'at')
        local step = tonumber(n or '0') + 1
        deliveries[#deliveries + 1] = {
          id, target, token, tonumber(seq), step + tonumber(all or '0'), step,
          tonumber(round or '1'), replay or '', redis.call('GET', P .. 'b:' .. id), at,
        }
      end
    end
    -- At full concurrency a finished call wakes us, not the clock.
    if concurrency > redis.call('ZCARD', leases) then
      local first = first_score(due)
      if first and (first > now or (granted == #ready and #deliveries < room)) then sooner(first) end
    end
  end
end

return {released_events, released, math.ceil(soonest), events, deliveries}
