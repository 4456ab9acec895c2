-- Prepended to every script. The first two arguments of each are the key prefix and the caller's time in ms
-- (time is an argument, so that days can be simulated). Key names are those of store/keys.py.

local P = ARGV[1]
local NOW = ARGV[2]
local now = tonumber(NOW)

local function is_open(state) return state == 'waiting' or state == 'sending' or state == 'parked' end

-- Something became due: one hint on the wake list is enough, and it is only a hint.
local function ring()
  if redis.call('LLEN', P .. 'wake') < 16 then redis.call('LPUSH', P .. 'wake', '1') end
end

-- Events wait by portal, so that one with much to do, or with a slow Planday, does not hold up another.
local function due_events(lane) return P .. 'due:e:' .. lane:match('^[^:]*') end

-- An event leaves its lane; if it was the head, the next of the same entity becomes due.
local function leave_event_lane(lane, id)
  local key = P .. 'le:' .. lane
  local was_head = redis.call('LINDEX', key, 0) == id
  redis.call('LREM', key, 1, id)
  local head = was_head and redis.call('LINDEX', key, 0)
  if head then redis.call('ZADD', due_events(lane), NOW, head) end
end

local function is_replayed(target, id) return redis.call('HEXISTS', P .. 'd:' .. id .. ':' .. target, 'rp') == 1 end

-- The head of a lane becomes due. What a replay opened waits apart, behind what is new: live events keep their pace. But
-- what is new behind a replay of the same entity does not wait for the other replays.
local function make_due(target, id, at)
  local set = 'due:t:'
  if is_replayed(target, id) then
    local last = redis.call('LINDEX', P .. 'ld:' .. target .. ':' .. redis.call('HGET', P .. 'e:' .. id, 'lane'), -1)
    if not last or is_replayed(target, last) then set = 'due:r:' end
  end
  redis.call('ZADD', P .. set .. target, at, id)
end

-- Something in this lane is not a replay: its head goes with what is new.
local function hurry_head(lane, target)
  local head = redis.call('LINDEX', P .. 'ld:' .. target .. ':' .. lane, 0)
  local waits_since = head and redis.call('ZSCORE', P .. 'due:r:' .. target, head)
  if waits_since then
    redis.call('ZREM', P .. 'due:r:' .. target, head)
    redis.call('ZADD', P .. 'due:t:' .. target, waits_since, head)
  end
end

local function not_due(target, id)
  return redis.call('ZREM', P .. 'due:t:' .. target, id) + redis.call('ZREM', P .. 'due:r:' .. target, id) > 0
end

local function is_due(target, id)
  return redis.call('ZSCORE', P .. 'due:t:' .. target, id) or redis.call('ZSCORE', P .. 'due:r:' .. target, id)
end

-- A delivery leaves its lane; if it was the head, the next of the same entity to the same target becomes due.
local function leave_delivery_lane(lane, target, id)
  local key = P .. 'ld:' .. target .. ':' .. lane
  local was_head = redis.call('LINDEX', key, 0) == id
  redis.call('LREM', key, 1, id)
  local head = was_head and redis.call('LINDEX', key, 0)
  if head then
    local state, due = unpack(redis.call('HMGET', P .. 'd:' .. head .. ':' .. target, 'st', 'due'))
    if state == 'waiting' then make_due(target, head, due or NOW) end
  end
end

-- A delivery takes its place in its lane by sequence, but never before what is on the wire or parked.
local function enter_delivery_lane(lane, target, id, seq)
  local key = P .. 'ld:' .. target .. ':' .. lane
  local own_due = redis.call('HGET', P .. 'd:' .. id .. ':' .. target, 'due') or NOW
  local last = redis.call('LINDEX', key, -1)
  if not last then
    redis.call('RPUSH', key, id)
    make_due(target, id, own_due)
    return
  end
  if not is_replayed(target, id) then hurry_head(lane, target) end
  if tonumber(redis.call('HGET', P .. 'e:' .. last, 'seq')) > tonumber(seq) then
    for place, other in ipairs(redis.call('LRANGE', key, 0, -1)) do
      if tonumber(redis.call('HGET', P .. 'e:' .. other, 'seq')) > tonumber(seq) then
        local waits = redis.call('HGET', P .. 'd:' .. other .. ':' .. target, 'st') == 'waiting'
        if place > 1 or waits then
          redis.call('LINSERT', key, 'BEFORE', other, id)
          if place == 1 then
            not_due(target, other)
            make_due(target, id, own_due)
          end
          return
        end
      end
    end
  end
  redis.call('RPUSH', key, id)
end

local function newer_was_sent(lane) return 'a newer state of ' .. lane .. ' was sent already' end

-- The newest sequence of an entity that a target has, or may have: nothing older follows it. What was read anew holds
-- more than its own event (`upto`): nothing that is opened again, and was read before, follows that. What is new does.
local function raise_high(lane, target, seq, upto)
  local entity = P .. 'n:' .. lane
  local high = tonumber(redis.call('HGET', entity, 'hi:' .. target) or '0')
  if tonumber(seq) > high then redis.call('HSET', entity, 'hi:' .. target, seq) end
  if upto and tonumber(upto) > tonumber(redis.call('HGET', entity, 'ho:' .. target) or '0') then
    redis.call('HSET', entity, 'ho:' .. target, upto)
  end
end

-- Whether a target has, or may have, something newer than what a delivery holds, and whether that matters to one that
-- was not opened again.
local function overtaken(lane, target, seq, upto)
  local high, read = unpack(redis.call('HMGET', P .. 'n:' .. lane, 'hi:' .. target, 'ho:' .. target))
  local mine = math.max(tonumber(seq), tonumber(upto or '0'))
  local by_event = mine < tonumber(high or '0')
  return by_event or mine < tonumber(read or '0'), by_event
end

-- Nobody holds a delivery any more that was on the wire: it may have been sent. Whatever its holder still says is late.
-- Returns whether its holder had said that it begins, and how many were lost over it in a row.
local function lose_holder(id, target)
  local record = P .. 'd:' .. id .. ':' .. target
  local lane, seq = unpack(redis.call('HMGET', P .. 'e:' .. id, 'lane', 'seq'))
  redis.call('ZREM', P .. 'lease:t:' .. target, id)
  raise_high(lane, target, seq, redis.call('HGET', record, 'upto'))
  redis.call('HINCRBY', record, 'tok', 1)
  redis.call('HINCRBY', record, 'all', 1)
  local begun = redis.call('HDEL', record, 'begun') == 1
  return begun, redis.call('HINCRBY', record, 'lost', 1)
end

-- The target works again: what waits for its next attempt goes now, oldest first, by the target's rate. The attempt that
-- failed meanwhile is not counted: however often a target comes and goes, nothing dies sooner than its schedule says.
-- What waits for another reason (a digest, quiet hours) has no attempt behind it and stays. At most 5,000, since this
-- is one step; so many fail only where so many are sent side by side.
local function bring_forward(target)
  for _, set in ipairs({'due:t:', 'due:r:'}) do
    local failed = {}
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. set .. target, '(' .. NOW, '+inf', 'LIMIT', 0, 5000)) do
      local n, all = unpack(redis.call('HMGET', P .. 'd:' .. id .. ':' .. target, 'n', 'all'))
      if tonumber(n or '0') + tonumber(all or '0') > 0 then
        failed[#failed + 1] = {id, tonumber(redis.call('HGET', P .. 'e:' .. id, 'at')), tonumber(n or '0')}
      end
    end
    table.sort(failed, function(one, other) return one[2] < other[2] end)
    for index, entry in ipairs(failed) do
      local record = P .. 'd:' .. entry[1] .. ':' .. target
      local due = string.format('%.3f', now + index / 1000)
      redis.call('ZADD', P .. set .. target, due, entry[1])
      redis.call('HSET', record, 'due', due)
      if entry[3] > 0 then
        redis.call('HINCRBY', record, 'n', -1)
        redis.call('HINCRBY', record, 'all', 1)
      end
    end
  end
end

-- Nothing is left to do for an event.
local function close_event(id)
  redis.call('ZREM', P .. 'open', id)
  redis.call('HSET', P .. 'e:' .. id, 'done', NOW)
end

-- A delivery moves to `state`: record, indexes, and, where it ends, its lane and the event's count.
-- `parked` keeps the lane and keeps the event open: a person has to decide (design.md, invariant 5).
-- A replay plan counts how what it opened came out.
local function move_delivery(id, target, state, reason)
  local record = P .. 'd:' .. id .. ':' .. target
  local event = P .. 'e:' .. id
  local was, plan, upto = unpack(redis.call('HMGET', record, 'st', 'rp', 'upto'))
  local at, lane, seq = unpack(redis.call('HMGET', event, 'at', 'lane', 'seq'))
  redis.call('HSET', record, 'st', state, 'up', NOW, 'why', reason)
  if plan and state ~= 'waiting' and (was == 'waiting' or was == 'sending') then
    redis.call('HINCRBY', P .. 'plan:' .. plan, 'out:' .. target, -1)
    redis.call('HINCRBY', P .. 'plan:' .. plan, 'end:' .. target .. ':' .. state, 1)
  end
  local from = was == 'sending' and 'waiting' or was
  if from ~= state then
    redis.call('ZREM', P .. 'ix:d:' .. target .. ':' .. from, id)
    redis.call('ZADD', P .. 'ix:d:' .. target .. ':' .. state, at, id)
  end
  if is_open(state) then return end
  redis.call('HDEL', record, 'due')
  redis.call('HINCRBY', P .. 'count', state, 1)
  if state == 'delivered' then
    raise_high(lane, target, seq, upto)
  end
  if is_open(was) then
    leave_delivery_lane(lane, target, id)
    if redis.call('HINCRBY', event, 'left', -1) <= 0 then close_event(id) end
  end
end

-- Record an event that was not seen before and give it its place in its entity's lane; `life` in s.
-- Returns whether it is new, its sequence, and whether it is due.
local function accept_event(id, lane, kind, record, life)
  local event = P .. 'e:' .. id
  local known = redis.call('HGET', event, 'seq')
  if known then
    redis.call('HINCRBY', P .. 'count', 'repeated', 1)
    return false, tonumber(known), false
  end
  local entity = P .. 'n:' .. lane
  local seq = redis.call('HINCRBY', entity, 'seq', 1)
  if seq == 1 then
    -- The entity was forgotten, but an old replay may have left what targets have of it: go on above that.
    local fields = redis.call('HGETALL', entity)
    for n = 1, #fields, 2 do
      if fields[n]:match('^h[io]:') and tonumber(fields[n + 1]) >= seq then seq = tonumber(fields[n + 1]) + 1 end
    end
    redis.call('HSET', entity, 'seq', seq)
  end
  redis.call('EXPIRE', entity, life)
  redis.call('HSET', event, 'st', 'accepted', 'seq', seq, 'at', NOW, 'lane', lane, 'ty', kind, 'tok', 0)
  redis.call('SET', P .. 'b:' .. id, record)
  redis.call('ZADD', P .. 'open', NOW, id)
  redis.call('ZADD', P .. 'ix:e', NOW, id)
  redis.call('ZADD', P .. 'ix:n:' .. lane, NOW, id)
  redis.call('SADD', P .. 'portals', (lane:match('^[^:]*')))
  local due = redis.call('RPUSH', P .. 'le:' .. lane, id) == 1
  if due then redis.call('ZADD', due_events(lane), NOW, id) end
  return true, seq, due
end

-- So many events are new; if something is due, wake a drain, or start one.
local function announce(fresh, due, bell, blob, bell_life, queue)
  if fresh > 0 then redis.call('HINCRBY', P .. 'count', 'accepted', fresh) end
  if not due then return end
  ring()
  -- The doorbell: only when no drain lives is an arq job needed to start one (engine-limits.md 1.3, 1).
  if redis.call('ZCOUNT', P .. 'drains', NOW, '+inf') == 0 then
    if redis.call('SET', 'arq:job:' .. bell, blob, 'NX', 'PX', bell_life) then
      redis.call('ZADD', queue, 'NX', NOW, bell)
    end
  end
end
