-- Take back what a cancelled replay plan opened and nobody has begun to send.
-- Atomic because a delivery that is taken back must not be on the wire, and is counted once.
--
-- ARGV: prefix, now, plan, owner, lock in ms, target, number of the first item to look at, most, reason
-- Returns: {'moved', items looked at, deliveries still open}, or {'lost'}
--
-- A delivery goes back to the state that it was chosen in; one that the plan made is cancelled.

local plan = P .. 'plan:' .. ARGV[3]
local target, number, reason = ARGV[6], tonumber(ARGV[7]), ARGV[9]
if redis.call('GET', plan .. ':lock') ~= ARGV[4] then return {'lost'} end
redis.call('PEXPIRE', plan .. ':lock', ARGV[5])
local done, first = unpack(redis.call('HMGET', plan, 'done:' .. target, 'first:' .. target))
done, first = tonumber(done or '0'), tonumber(first)

local function take_back(id, state, mode)
  local record = P .. 'd:' .. id .. ':' .. target
  local now_in, of, before, tries, lost = unpack(redis.call('HMGET', record, 'st', 'rp', 'nk0', 'n', 'all'))
  if of ~= ARGV[3] or now_in ~= 'waiting' then return end
  local to = (state == 'missing' or state == 'unrouted') and 'cancelled' or state
  not_due(target, id)
  if before and tonumber(tries or '0') == 0 and not lost then
    -- Nothing went out under the new key: the delivery keeps the one that it had.
    if before == '' then redis.call('HDEL', record, 'nk') else redis.call('HSET', record, 'nk', before) end
  end
  if mode == 'reread' and tries == '0' and not lost then
    redis.call('HDEL', record, 'own', 'upto')
    redis.call('DEL', P .. 'b:' .. id .. ':' .. target)
  end
  redis.call('HDEL', record, 'rp', 'nk0', 'force')
  move_delivery(id, target, to, reason)
  if to ~= 'cancelled' then redis.call('HINCRBY', P .. 'count', to, -1) end
  redis.call('HINCRBY', plan, 'out:' .. target, -1)
  redis.call('HINCRBY', plan, 'end:' .. target .. ':withdrawn', 1)
end

local last = math.min(number + tonumber(ARGV[8]), done)
for _, item in ipairs(number < last and redis.call('LRANGE', plan .. ':items', first + number, first + last - 1) or {}) do
  local id, state, mode = item:match('^([^:]*):[^:]*:([^:]*):([^:]*)$')
  take_back(id, state, mode)
end
ring()
return {'moved', math.max(last - number, 0), tonumber(redis.call('HGET', plan, 'out:' .. target) or '0')}
