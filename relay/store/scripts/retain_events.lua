-- Remove some of the oldest events that are past their age, with every key and index entry of theirs.
-- Atomic because an event that is opened again meanwhile must be there whole. What has work left stays, however old.
--
-- ARGV: prefix, now, rank to begin at, most events, end before which an event is removed in ms: of one that was
--       delivered to all its targets, of any other; life of an entity's record after its last event in ms
-- Returns: {removed events, removed records of entities, rank to go on from, or -1 at the end}
--
-- By rank, since many events can share one time; what is removed leaves its rank to the next.

local first, most = tonumber(ARGV[3]), tonumber(ARGV[4])
local delivered_before, failed_before, life = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local latest = math.max(delivered_before, failed_before)
local removed, entities, kept = 0, 0, 0

-- What an entity's record says of order must outlive its events: only after that it may go.
local function forget_entity(lane, last)
  local key = P .. 'n:' .. lane
  if redis.call('EXISTS', P .. 'ix:n:' .. lane, P .. 'le:' .. lane) > 0 then return end
  local left = last + life - now
  if left <= 0 then
    entities = entities + redis.call('DEL', key)
  else
    redis.call('PEXPIRE', key, math.ceil(left))
  end
end

local function remove(id, state, lane, targets, people, at)
  local portal = lane:match('^[^:]*')
  for target in targets:gmatch('%S+') do
    local pair = id .. ':' .. target
    local ended = redis.call('HGET', P .. 'd:' .. pair, 'st')
    if ended then redis.call('ZREM', P .. 'ix:d:' .. target .. ':' .. ended, id) end
    redis.call('DEL', P .. 'd:' .. pair, P .. 'a:' .. pair, P .. 'b:' .. pair)
  end
  for employee in people:gmatch('%S+') do redis.call('ZREM', P .. 'ix:p:' .. portal .. ':' .. employee, id) end
  if state ~= 'routed' then redis.call('ZREM', P .. 'ix:e:' .. state, id) end
  redis.call('DEL', P .. 'e:' .. id, P .. 'b:' .. id)
  redis.call('ZREM', P .. 'ix:e', id)
  redis.call('ZREM', P .. 'ix:n:' .. lane, id)
  forget_entity(lane, at)
end

local function is_past(id, state, targets, ended)
  if state ~= 'routed' then return ended < failed_before end
  for target in targets:gmatch('%S+') do
    if redis.call('HGET', P .. 'd:' .. id .. ':' .. target, 'st') ~= 'delivered' then return ended < failed_before end
  end
  return ended < delivered_before
end

local found = redis.call('ZRANGE', P .. 'ix:e', first, first + most - 1, 'WITHSCORES')
local over = #found < 2 * most
for n = 1, #found, 2 do
  local id, at = found[n], tonumber(found[n + 1])
  if at >= latest then
    over = true
    break
  end
  local state, lane, targets, done, people = unpack(redis.call('HMGET', P .. 'e:' .. id, 'st', 'lane', 'tg', 'done', 'emp'))
  if not state then
    redis.call('ZREM', P .. 'ix:e', id)
  elseif redis.call('ZSCORE', P .. 'open', id) or not is_past(id, state, targets or '', tonumber(done or at)) then
    kept = kept + 1
  else
    remove(id, state, lane, targets or '', people or '', at)
    removed = removed + 1
  end
end

if removed > 0 then redis.call('HINCRBY', P .. 'count', 'removed', removed) end
return {removed, entities, over and -1 or first + kept}
