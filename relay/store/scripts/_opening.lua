-- What opens a delivery again, or one that was never made; put before the scripts that need it.
--
-- `how` says with what: reason, plan ('' = none), force, salt ('' = its key stays), own (an envelope of its own,
-- '' = the one that it has), upto (the entity's newest sequence as that was read, '' = none).

local function is_among(states, state) return (' ' .. states .. ' '):find(' ' .. state .. ' ', 1, true) end

-- One delivery more is on its way: the event has work left.
local function give_work(id, at)
  local event = P .. 'e:' .. id
  redis.call('HINCRBY', event, 'left', 1)
  redis.call('HDEL', event, 'done')
  redis.call('ZADD', P .. 'open', at, id)
end

-- With what a plan, or a person, opens it. What was read anew is the newest state there is, so it may follow newer
-- ones; the key before is remembered, for a plan that is cancelled before anything was sent under the new one.
local function equip(record, id, target, how)
  if how.plan ~= '' then
    redis.call('HSET', record, 'rp', how.plan)
    redis.call('HINCRBY', P .. 'plan:' .. how.plan, 'out:' .. target, 1)
  end
  if how.force or how.own ~= '' then redis.call('HSET', record, 'force', 1) end
  if how.salt ~= '' then
    redis.call('HSET', record, 'nk0', redis.call('HGET', record, 'nk') or '')
    redis.call('HSET', record, 'nk', how.salt)
  end
  if how.own ~= '' then
    redis.call('SET', P .. 'b:' .. id .. ':' .. target, how.own)
    redis.call('HSET', record, 'own', 1)
    if how.upto ~= '' then redis.call('HSET', record, 'upto', how.upto) end
  end
end

-- One more round for a delivery in one of `states`.
-- Returns 'reopened', 'superseded', 'missing', or 'refused' and the present state (or 'erased').
local function open_again(id, target, states, how)
  local record = P .. 'd:' .. id .. ':' .. target
  local event = P .. 'e:' .. id
  local was, plan, upto = unpack(redis.call('HMGET', record, 'st', 'rp', 'upto'))
  local at, lane, seq, erased = unpack(redis.call('HMGET', event, 'at', 'lane', 'seq', 'er'))
  if not was or not at then return 'missing' end
  if erased then return 'refused', 'erased' end
  if not is_among(states, was) then return 'refused', was end
  if not how.force and how.own == '' and overtaken(lane, target, seq, upto) then
    if was ~= 'superseded' and was ~= 'delivered' then
      not_due(target, id)
      redis.call('HDEL', record, 'force')
      move_delivery(id, target, 'superseded', newer_was_sent(lane))
    end
    return 'superseded'
  end
  if plan and was == 'waiting' then
    -- A person goes on with it: to its plan it has ended.
    redis.call('HINCRBY', P .. 'plan:' .. plan, 'out:' .. target, -1)
    redis.call('HINCRBY', P .. 'plan:' .. plan, 'end:' .. target .. ':by_hand', 1)
  end
  redis.call('HSET', record, 'st', 'waiting', 'due', NOW, 'up', NOW, 'why', how.reason, 'n', 0)
  redis.call('HINCRBY', record, 'rd', redis.call('HEXISTS', record, 'rd') == 1 and 1 or 2)
  redis.call('HDEL', record, 'rp', 'force', 'begun', 'lost', 'all', 'nk0', 'rel', 'alone')
  -- A person looked, and says that the target does not have it.
  if was == 'parked' and how.plan == '' then redis.call('HSET', record, 'rel', 1) end
  equip(record, id, target, how)
  redis.call('ZREM', P .. 'ix:d:' .. target .. ':' .. was, id)
  redis.call('ZADD', P .. 'ix:d:' .. target .. ':waiting', at, id)
  if is_open(was) then
    not_due(target, id)
    if redis.call('LINDEX', P .. 'ld:' .. target .. ':' .. lane, 0) == id then make_due(target, id, NOW) end
    if how.plan == '' then hurry_head(lane, target) end
  else
    give_work(id, at)
    enter_delivery_lane(lane, target, id, seq)
  end
  redis.call('HINCRBY', P .. 'count', 'reopened', 1)
  return 'reopened'
end

-- The record of why a target did not take an event says so no more.
local function lift_refusal(id, target)
  local body = P .. 'b:' .. id
  local first, envelope, refusals = (redis.call('GET', body) or ''):match('^([^\n]*)\n([^\n]*)\n([^\n]*)$')
  if not refusals or not refusals:find('"' .. target .. '":', 1, true) then return end
  local left = cjson.decode(refusals)
  left[target] = nil
  redis.call('SET', body, first .. '\n' .. envelope .. '\n' .. (next(left) and cjson.encode(left) or '{}'))
end

-- A delivery that was never made: its target takes the event by the rules of now.
-- Returns as `open_again` does; 'refused' with the state of the delivery that is there by now, or of the event.
local function open_new(id, target, how)
  local record = P .. 'd:' .. id .. ':' .. target
  local event = P .. 'e:' .. id
  local state, at, lane, seq, names, erased = unpack(redis.call('HMGET', event, 'st', 'at', 'lane', 'seq', 'tg', 'er'))
  if not state then return 'missing' end
  if erased then return 'refused', 'erased' end
  if state ~= 'routed' and state ~= 'unrouted' then return 'refused', state end
  local there = redis.call('HGET', record, 'st')
  if there then return 'refused', there end
  if names and is_among(names, target) then return 'missing' end -- it was there, and is not kept any more
  if state == 'unrouted' then redis.call('ZREM', P .. 'ix:e:unrouted', id) end
  redis.call('HSET', event, 'st', 'routed', 'why', '', 'tg', names and names ~= '' and names .. ' ' .. target or target)
  redis.call('SADD', P .. 'targets', target)
  lift_refusal(id, target)
  if not how.force and how.own == '' and overtaken(lane, target, seq) then
    local why = newer_was_sent(lane)
    redis.call('HSET', record, 'st', 'superseded', 'tok', 0, 'n', 0, 'up', NOW, 'why', why)
    redis.call('ZADD', P .. 'ix:d:' .. target .. ':superseded', at, id)
    redis.call('HINCRBY', P .. 'count', 'superseded', 1)
    return 'superseded'
  end
  redis.call('HSET', record, 'st', 'waiting', 'tok', 0, 'n', 0, 'up', NOW, 'due', NOW, 'why', how.reason)
  equip(record, id, target, how)
  redis.call('ZADD', P .. 'ix:d:' .. target .. ':waiting', at, id)
  give_work(id, at)
  enter_delivery_lane(lane, target, id, seq)
  return 'reopened'
end

-- An event that was given up before it had deliveries goes through the line once more.
-- Returns 'reopened', 'missing', or 'refused' and the present state (or 'erased').
local function open_event(id, states)
  local event = P .. 'e:' .. id
  local was, lane, at, seq, erased = unpack(redis.call('HMGET', event, 'st', 'lane', 'at', 'seq', 'er'))
  if not was then return 'missing' end
  if erased then return 'refused', 'erased' end
  if not is_among(states, was) then return 'refused', was end
  -- It is read again, so what it says is of today: its deliveries are not older than what was delivered since.
  local upto = redis.call('HGET', P .. 'n:' .. lane, 'seq') or seq
  redis.call('HSET', event, 'st', 'accepted', 'why', '', 'again', upto)
  redis.call('HDEL', event, 'tries', 'faults', 'since', 'due', 'lost', 'done')
  redis.call('ZREM', P .. 'ix:e:' .. was, id)
  redis.call('ZADD', P .. 'open', at, id)
  if redis.call('RPUSH', P .. 'le:' .. lane, id) == 1 then redis.call('ZADD', due_events(lane), NOW, id) end
  redis.call('HINCRBY', P .. 'count', 'reopened', 1)
  return 'reopened'
end
