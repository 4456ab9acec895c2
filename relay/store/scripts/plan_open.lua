-- Needs: _opening
-- Open the next items of a replay plan to one target, and pass them in its book-keeping.
-- Atomic because an item is opened and counted together: whoever is killed has done both or neither, and of two who
-- run a plan only the one who holds it goes on.
--
-- ARGV: prefix, now, plan, owner, lock in ms, target ('' = events that are taken through the line again), number of
--       the next item, most items, most that may be open at once, interval in ms (0: no rate), force (1/0), salt of
--       new keys ('' = they stay), reason, then for each of the next items that must be read anew: what came of it
--       ('own', 'again', or why it is not sent), its envelope, the entity's sequence before it was read
-- Returns: {'moved', items passed, open ones that may follow, ms until the rate allows more, items to be read anew ('event:state')},
--          or {'lost'} when another runs it, {'paused'}, {'cancelled'}
--
-- An item is "event:target:state when it was chosen:first or reread".

local plan = P .. 'plan:' .. ARGV[3]
local target, number, most, window = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local interval, force, salt, reason = tonumber(ARGV[10]), ARGV[11] == '1', ARGV[12], ARGV[13]
if redis.call('GET', plan .. ':lock') ~= ARGV[4] then return {'lost'} end
redis.call('PEXPIRE', plan .. ':lock', ARGV[5])
local paused, cancelled, done, first, size, out = unpack(redis.call('HMGET', plan, 'paused_at', 'cancelled_at',
  'done:' .. target, 'first:' .. target, 'size:' .. target, 'out:' .. target))
if cancelled then return {'cancelled'} end
if paused then return {'paused'} end
done, first, size = tonumber(done or '0'), tonumber(first), tonumber(size)
if done ~= number then return {'lost'} end

-- Evenly, at most a tenth of a second's worth at once.
local tat, slack = 0, 0
if interval > 0 then
  slack = math.max(100 - interval, 0)
  tat = math.max(tonumber(redis.call('HGET', plan, 'tat') or '0'), now - slack)
end
local room = window - tonumber(out or '0')
local passed, results, unread, ends = 0, {}, {}, math.min(number + most, size)
local given = 14

local function open_one(id, state, mode)
  local how = {reason = reason, plan = ARGV[3], force = force, salt = salt, own = '', upto = ''}
  if mode == 'reread' then
    local came, envelope, before = ARGV[given], ARGV[given + 1], ARGV[given + 2]
    given = given + 3
    if came ~= 'own' then return came end
    local lane = redis.call('HGET', P .. 'e:' .. id, 'lane')
    if lane and (redis.call('HGET', P .. 'n:' .. lane, 'seq') or '') ~= before then return 'again' end
    how.own, how.upto = envelope, before
  end
  local answer, now_in
  if target == '' then
    answer, now_in = open_event(id, state)
    if answer == 'reopened' then redis.call('HSET', P .. 'e:' .. id, 'rp', ARGV[3]) end
  elseif state == 'missing' or state == 'unrouted' then
    answer, now_in = open_new(id, target, how)
  else
    answer, now_in = open_again(id, target, state, how)
  end
  if answer == 'reopened' then return 'opened' end
  if answer == 'missing' then return 'gone' end
  if answer == 'refused' then return now_in == 'erased' and 'erased' or 'now_' .. now_in end
  return answer
end

for _, item in ipairs(number < ends and redis.call('LRANGE', plan .. ':items', first + number, first + ends - 1) or {}) do
  local id, state, mode = item:match('^([^:]*):[^:]*:([^:]*):([^:]*)$')
  if room <= 0 or (interval > 0 and tat > now) then break end
  if mode == 'reread' and not ARGV[given] then break end
  local result = open_one(id, state, mode)
  if result == 'again' then break end
  passed = passed + 1
  results[result] = (results[result] or 0) + 1
  if result == 'opened' then room = room - 1 end
  tat = tat + interval
end

if passed > 0 then
  redis.call('HINCRBY', plan, 'done:' .. target, passed)
  for result, count in pairs(results) do redis.call('HINCRBY', plan, 'res:' .. target .. ':' .. result, count) end
  if interval > 0 then redis.call('HSET', plan, 'tat', string.format('%.3f', tat)) end
  ring()
end
local at = number + passed
if room > 0 and at < size then
  for _, item in ipairs(redis.call('LRANGE', plan .. ':items', first + at, first + math.min(at + room, at + 8, size) - 1)) do
    local id, state, mode = item:match('^([^:]*):[^:]*:([^:]*):([^:]*)$')
    if mode ~= 'reread' then break end
    unread[#unread + 1] = id .. ':' .. state
  end
end
return {'moved', passed, room, interval > 0 and math.max(math.ceil(tat - now), 0) or 0, unread}
