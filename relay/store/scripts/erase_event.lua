-- Leave nothing of an event but what the counts need: it is about a person who was erased. One that was not routed yet
-- ends here, without a target. Atomic because a worker may take it at the same moment, and because its lane, which may
-- name the person, changes with everything that stands under it.
--
-- ARGV: prefix, now, id, token of the lease ('' = whoever asks has none), employee, lane that takes the place of its
--       own ('' = it stays), what was read of it ('' = whatever there is), what stays of it, reason
-- Returns: 'erased', 'missing', or why not now: 'busy' (a worker holds it), 'open' (a delivery has work left), 'changed'

local id, token, employee, new_lane, read, body, why = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local event = P .. 'e:' .. id
local state, held, lane, at, targets, people = unpack(redis.call('HMGET', event, 'st', 'tok', 'lane', 'at', 'tg', 'emp'))
if not state then return 'missing' end
if read ~= '' and redis.call('GET', P .. 'b:' .. id) ~= read then return 'changed' end
targets = targets or ''

if state == 'accepted' then
  if token == '' and redis.call('ZSCORE', P .. 'lease:e', id) then return 'busy' end
  if token ~= '' and held ~= token then return 'busy' end
  redis.call('ZREM', due_events(lane), id)
  redis.call('ZREM', P .. 'lease:e', id)
  redis.call('HDEL', event, 'since', 'due', 'lost', 'tries', 'faults')
  redis.call('HINCRBY', event, 'tok', 1)
  redis.call('HSET', event, 'st', 'unrouted', 'why', why)
  redis.call('ZADD', P .. 'ix:e:unrouted', at, id)
  redis.call('HINCRBY', P .. 'count', 'unrouted', 1)
  leave_event_lane(lane, id)
  close_event(id)
  ring()
else
  for target in targets:gmatch('%S+') do
    if is_open(redis.call('HGET', P .. 'd:' .. id .. ':' .. target, 'st')) then return 'open' end
  end
end

redis.call('SET', P .. 'b:' .. id, body)
redis.call('HSET', event, 'er', NOW)
local portal, others = lane:match('^[^:]*'), {}
for person in (people or ''):gmatch('%S+') do
  if person ~= employee then others[#others + 1] = person end
end
redis.call('ZREM', P .. 'ix:p:' .. portal .. ':' .. employee, id)
if #others > 0 then redis.call('HSET', event, 'emp', table.concat(others, ' ')) else redis.call('HDEL', event, 'emp') end

local function renamed(key)
  local text = redis.call('HGET', key, 'why')
  if not text then return end
  local first, last = text:find(lane, 1, true)
  if first then redis.call('HSET', key, 'why', text:sub(1, first - 1) .. new_lane .. text:sub(last + 1)) end
end

for target in targets:gmatch('%S+') do
  redis.call('DEL', P .. 'b:' .. id .. ':' .. target)
  if new_lane ~= '' then renamed(P .. 'd:' .. id .. ':' .. target) end
end
if new_lane ~= '' and new_lane ~= lane then
  renamed(event)
  redis.call('HSET', event, 'lane', new_lane)
  redis.call('ZREM', P .. 'ix:n:' .. lane, id)
  redis.call('ZADD', P .. 'ix:n:' .. new_lane, at, id)
  if redis.call('EXISTS', P .. 'ix:n:' .. lane) == 0 then redis.call('DEL', P .. 'n:' .. lane) end
end
return 'erased'
