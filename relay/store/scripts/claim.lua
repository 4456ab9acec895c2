-- Take back what dead workers held, then lease due events and due deliveries to one drain.
-- Atomic because two drains must never hold the same work, and because concurrency and rate are counted here.
--
-- ARGV: prefix, now, lease in ms, most events of one portal, most deliveries of one target, most lost leases before we
--       give up, turn (portals come first in turn), number of portals whose events this drain holds,
--       then per such portal: id, how many it holds,
--       then per target: name, concurrency, interval in ms (0: no rate), burst, limiter, dedupes (1/0), how many of its
--       deliveries this drain holds, how many are sent by one call (1: each by its own)
-- Returns: {released events, released deliveries, next due in ms or -1, events, deliveries}
--   event:    {id, token, sequence, tries, faults, waiting since (ms or ''), body, newest (ms or ''), portal}
--   delivery: {id, target, token, sequence, attempt, step, round, replay id or '', body, accepted at in ms,
--              envelope of its own or '', salt of its key or '', whether a person released it (1/0),
--              when it would have been due though it is tried now (ms or '')}
--
-- Every portal and every target has its own room in a drain: one that is slow fills its own and no other's.
-- `attempt` numbers the attempts of a round, those lost with their worker included; `step` leaves these out: a crash
-- does not use up the schedule.

local lease_end = string.format('%.3f', now + tonumber(ARGV[3]))
local most_events = tonumber(ARGV[4])
local most_deliveries = tonumber(ARGV[5])
local most_lost = tonumber(ARGV[6])
local turn = tonumber(ARGV[7])
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
  local lane = redis.call('HGET', event, 'lane')
  redis.call('ZREM', P .. 'lease:e', id)
  redis.call('HINCRBY', event, 'tok', 1)
  released_events = released_events + 1
  if redis.call('HINCRBY', event, 'lost', 1) > most_lost then
    redis.call('HSET', event, 'st', 'dead', 'why', 'the worker died ' .. most_lost .. ' times while it handled this event')
    redis.call('ZADD', P .. 'ix:e:dead', redis.call('HGET', event, 'at'), id)
    redis.call('HINCRBY', P .. 'count', 'dead_event', 1)
    leave_event_lane(lane, id)
    close_event(id)
  else
    redis.call('ZADD', due_events(lane), NOW, id)
  end
end

local holds = {}
local first_target = 9 + 2 * tonumber(ARGV[8])
for i = 9, first_target - 1, 2 do holds[ARGV[i]] = tonumber(ARGV[i + 1]) end

local events = {}
local portals = most_events > 0 and redis.call('SMEMBERS', P .. 'portals') or {}
table.sort(portals)
for n = 1, #portals do
  local portal = portals[(n + turn - 1) % #portals + 1]
  local due = P .. 'due:e:' .. portal
  local room = most_events - (holds[portal] or 0)
  local ids = room > 0 and redis.call('ZRANGEBYSCORE', due, '-inf', NOW, 'LIMIT', 0, room) or {}
  for _, id in ipairs(ids) do
    local event = P .. 'e:' .. id
    redis.call('ZREM', due, id)
    local body = redis.call('GET', P .. 'b:' .. id)
    if body then
      redis.call('ZADD', P .. 'lease:e', lease_end, id)
      local token = redis.call('HINCRBY', event, 'tok', 1)
      local seq, tries, faults, since, lane = unpack(redis.call('HMGET', event, 'seq', 'tries', 'faults', 'since', 'lane'))
      local newest = redis.call('HGET', P .. 'n:' .. lane, 'rd')
      events[#events + 1] = {
        id, token, tonumber(seq), tonumber(tries or '0'), tonumber(faults or '0'), since or '', body, newest or '', portal,
      }
    end
  end
  -- What is due and found no room is no reason to look again: a piece of work that ends is.
  if #ids < room then sooner(first_score(due)) end
end

-- Deliveries ---------------------------------------------------------------------------------------

local function take_back(target, dedupes, gathers)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'lease:t:' .. target, '-inf', NOW, 'LIMIT', 0, 200)) do
    local record = P .. 'd:' .. id .. ':' .. target
    local begun, lost = lose_holder(id, target)
    released = released + 1
    -- Workers may die over another one in the same call.
    if gathers > 1 and lost > 1 then redis.call('HSET', record, 'alone', 1) end
    if begun and not dedupes then
      move_delivery(id, target, 'parked', 'the worker died while it was sending: the target may have it')
    elseif lost > most_lost then
      move_delivery(id, target, 'dead', 'the worker died ' .. most_lost .. ' times while it held this delivery')
    else
      local due = redis.call('HGET', record, 'ahead') or NOW
      redis.call('HDEL', record, 'ahead')
      redis.call('HSET', record, 'st', 'waiting', 'due', due)
      make_due(target, id, due)
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

-- What may be sent now of what is due: what is older than the newest state that its target has, or may have, ends here.
local function ready_of(target, due, most, ready, until_when)
  local ids = most > 0 and redis.call('ZRANGEBYSCORE', due, '-inf', until_when or NOW, 'LIMIT', 0, most) or {}
  for _, id in ipairs(ids) do
    redis.call('ZREM', due, id)
    local lane, seq = unpack(redis.call('HMGET', P .. 'e:' .. id, 'lane', 'seq'))
    local is_over = overtaken(lane, target, seq)
    if is_over then
      local force, round, plan, upto = unpack(redis.call(
        'HMGET', P .. 'd:' .. id .. ':' .. target, 'force', 'rd', 'rp', 'upto'))
      local if_opened, if_new = overtaken(lane, target, seq, upto)
      is_over = not force and (if_new or (if_opened and (round or plan)))
    end
    if is_over then
      move_delivery(id, target, 'superseded', newer_was_sent(lane))
    else
      ready[#ready + 1] = {id, seq}
    end
  end
end

-- Of what may be sent by one call: the first alone if it must be, else those that need not be. The rest stays due.
local function together(target, ready)
  local chosen = {}
  for index, pair in ipairs(ready) do
    local record = P .. 'd:' .. pair[1] .. ':' .. target
    local alone, due = unpack(redis.call('HMGET', record, 'alone', 'due'))
    if index == 1 or (not alone and not chosen.alone) then
      chosen[#chosen + 1] = pair
      chosen.alone = alone
    else
      make_due(target, pair[1], due or NOW)
    end
  end
  return chosen
end

local function lease_delivery(target, id, seq)
  local record = P .. 'd:' .. id .. ':' .. target
  redis.call('ZADD', P .. 'lease:t:' .. target, lease_end, id)
  local token = redis.call('HINCRBY', record, 'tok', 1)
  redis.call('HSET', record, 'st', 'sending')
  local n, all, round, replay, own, salt, rel, due = unpack(redis.call(
    'HMGET', record, 'n', 'all', 'rd', 'rp', 'own', 'nk', 'rel', 'due'))
  local ahead = due and tonumber(due) > now and due or ''
  if ahead ~= '' then redis.call('HSET', record, 'ahead', ahead) end
  local step = tonumber(n or '0') + 1
  local envelope = own and redis.call('GET', P .. 'b:' .. id .. ':' .. target) or ''
  return {
    id, target, token, tonumber(seq), step + tonumber(all or '0'), step, tonumber(round or '1'), replay or '',
    redis.call('GET', P .. 'b:' .. id), redis.call('HGET', P .. 'e:' .. id, 'at'), envelope, salt or '',
    rel and 1 or 0, ahead,
  }
end

-- Of targets that share a limiter that one comes first which it let through the longest ago.
local order, sharers, let_through = {}, {}, {}
for i = first_target, #ARGV, 8 do
  order[#order + 1] = i
  sharers[ARGV[i + 4]] = (sharers[ARGV[i + 4]] or 0) + 1
end
for _, i in ipairs(order) do
  local last = sharers[ARGV[i + 4]] > 1 and redis.call('HGET', P .. 't:' .. ARGV[i], 'let')
  let_through[i] = tonumber(last or '0')
end
table.sort(order, function(one, other)
  if let_through[one] ~= let_through[other] then return let_through[one] < let_through[other] end
  return one < other
end)

local deliveries = {}
for _, i in ipairs(order) do
  local target, concurrency = ARGV[i], tonumber(ARGV[i + 1])
  local interval, burst = tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local limiter, dedupes, held = ARGV[i + 4], ARGV[i + 5] == '1', tonumber(ARGV[i + 6])
  local gathers = tonumber(ARGV[i + 7])
  local due, replayed = P .. 'due:t:' .. target, P .. 'due:r:' .. target
  local leases, state = P .. 'lease:t:' .. target, P .. 't:' .. target
  take_back(target, dedupes, gathers)
  local paused, hold, breaker, probe_at, probe = unpack(redis.call('HMGET', state, 'paused', 'hold', 'brk', 'until', 'probe'))
  local closed_until = math.max(tonumber(hold or '0'), breaker == 'open' and tonumber(probe_at) or 0)
  if paused then
    -- Waits for a person; nothing to wake up for.
  elseif closed_until > now then
    if redis.call('ZCARD', due) + redis.call('ZCARD', replayed) > 0 then sooner(closed_until) end
  else
    local busy = redis.call('ZCARD', leases)
    local room = math.min(concurrency - busy, most_deliveries - held)
    if gathers > 1 then room = busy > 0 and 0 or math.min(gathers, most_deliveries) end
    if breaker then
      -- One probe at a time: the next only when the last has ended, by its settling or by its worker's death.
      local under_way = breaker == 'half' and probe and redis.call('ZSCORE', leases, probe)
      room = under_way and 0 or math.min(room, 1)
    end
    local ready = {}
    ready_of(target, due, room, ready)
    -- A quarter of the calls is never a replay's, so that what is new finds room even when a worker died over a replay.
    -- Where one call takes all, it is under way alone, and what is new goes into it first.
    local for_replays = gathers > 1 and room or math.min(room, math.max(math.floor(concurrency * 3 / 4), 1) - busy)
    ready_of(target, replayed, for_replays - #ready, ready)
    if breaker and room > 0 and #ready == 0 then
      -- Nothing is due for a while, and nobody would see that the target is back: the next one tries it ahead of its time.
      ready_of(target, due, 1, ready, '+inf')
      if #ready == 0 then ready_of(target, replayed, 1, ready, '+inf') end
    end
    if gathers > 1 then ready = together(target, ready) end
    local granted = allowance(limiter, interval, burst, gathers > 1 and math.min(#ready, 1) or #ready)
    if granted > 0 and sharers[limiter] > 1 then redis.call('HSET', state, 'let', NOW) end
    if gathers > 1 and granted == 1 then granted = #ready end
    for index, pair in ipairs(ready) do
      if index > granted then
        make_due(target, pair[1], redis.call('HGET', P .. 'd:' .. pair[1] .. ':' .. target, 'due') or NOW)
      else
        deliveries[#deliveries + 1] = lease_delivery(target, pair[1], pair[2])
        if breaker then redis.call('HSET', state, 'brk', 'half', 'probe', pair[1]) end
      end
    end
    -- With no room a finished call wakes us, not the clock; with too small a grant the limiter said when.
    if room > 0 and not (breaker and granted > 0) then
      for _, key in ipairs(for_replays > 0 and {due, replayed} or {due}) do
        local first = first_score(key)
        if first and (first > now or (granted == #ready and #ready < (key == due and room or for_replays))) then sooner(first) end
      end
    end
  end
end

return {released_events, released, math.ceil(soonest), events, deliveries}
