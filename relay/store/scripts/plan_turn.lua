-- Start, pause, resume or cancel a replay plan.
-- Atomic because what may be done depends on where the plan stands, and two people may decide at once.
--
-- ARGV: prefix, now, plan, what ('start', 'pause', 'resume', 'cancel'), when, by and why (as JSON), rate ('' = none)
-- Returns: {'done'}, {'missing'}, or {'refused', where it stands}

local id, what = ARGV[3], ARGV[4]
local plan = P .. 'plan:' .. id
if redis.call('HEXISTS', plan, 'id') == 0 then return {'missing'} end
local started, paused, cancelled, ended = unpack(redis.call('HMGET', plan,
  'started_at', 'paused_at', 'cancelled_at', 'ended_at'))
local state = ended and (cancelled and 'cancelled' or 'ended') or cancelled and 'cancelling'
  or paused and 'paused' or started and 'running' or 'planned'

local from = {start = 'planned', pause = 'running', resume = 'paused', cancel = 'planned running paused'}
if not (' ' .. from[what] .. ' '):find(' ' .. state .. ' ', 1, true) then return {'refused', state} end

local function note(...)
  for _, name in ipairs({...}) do redis.call('HDEL', plan, name .. '_at', name .. '_by', name .. '_why') end
end

local stem = what == 'start' and 'started' or what == 'pause' and 'paused' or what == 'resume' and 'resumed' or 'cancelled'
if what == 'resume' or what == 'cancel' then note('paused') end
redis.call('HSET', plan, stem .. '_at', ARGV[5], stem .. '_by', ARGV[6], stem .. '_why', ARGV[7])
if what == 'start' and ARGV[8] ~= '' then redis.call('HSET', plan, 'rate', ARGV[8]) end
if state == 'planned' and what == 'cancel' then
  redis.call('HSET', plan, 'ended_at', ARGV[5])
else
  redis.call('SADD', P .. 'plans:running', id)
end
return {'done'}
