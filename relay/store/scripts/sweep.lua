-- Look at open events and put back whatever has work left but stands in no due set and under no lease.
-- In a store that kept every write this finds nothing; it is the net under a restored backup or a lost write.
-- Also parks deliveries of targets that left the settings.
--
-- ARGV: prefix, now, most events, cursor (accepted ms, exclusive; '-inf' = from the oldest), configured targets (joined by a blank)
-- Returns: {repaired, parked, next cursor or ''}

local configured = ' ' .. ARGV[5] .. ' '
local from = ARGV[4] == '-inf' and '-inf' or '(' .. ARGV[4]
local found = redis.call('ZRANGEBYSCORE', P .. 'open', from, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
local repaired, parked = 0, 0

local function in_lane(key, id)
  return redis.call('LPOS', key, id) ~= false
end

for i = 1, #found, 2 do
  local id = found[i]
  local event = P .. 'e:' .. id
  local state, lane, targets = unpack(redis.call('HMGET', event, 'st', 'lane', 'tg'))
  if not state then
    redis.call('ZREM', P .. 'open', id)
  elseif state == 'accepted' then
    local key = P .. 'le:' .. lane
    if not in_lane(key, id) then
      redis.call('RPUSH', key, id)
      repaired = repaired + 1
    end
    if redis.call('LINDEX', key, 0) == id and not redis.call('ZSCORE', P .. 'due:e', id)
      and not redis.call('ZSCORE', P .. 'lease:e', id) then
      redis.call('ZADD', P .. 'due:e', NOW, id)
      repaired = repaired + 1
    end
  else
    for target in (targets or ''):gmatch('%S+') do
      local record = P .. 'd:' .. id .. ':' .. target
      local delivery = redis.call('HGET', record, 'st')
      if delivery == 'waiting' or delivery == 'sending' then
        local key = P .. 'ld:' .. target .. ':' .. lane
        local due, leases = P .. 'due:t:' .. target, P .. 'lease:t:' .. target
        if not in_lane(key, id) then
          redis.call('RPUSH', key, id)
          repaired = repaired + 1
        end
        local leased = redis.call('ZSCORE', leases, id)
        if not configured:find(' ' .. target .. ' ', 1, true) then
          if not leased or tonumber(leased) < now then
            redis.call('ZREM', due, id)
            redis.call('ZREM', leases, id)
            move_delivery(id, target, 'parked', 'target gone: ' .. target .. ' is not in the settings')
            parked = parked + 1
          end
        elseif redis.call('LINDEX', key, 0) == id and not leased and not redis.call('ZSCORE', due, id) then
          redis.call('HSET', record, 'st', 'waiting')
          redis.call('ZADD', due, redis.call('HGET', record, 'due') or NOW, id)
          repaired = repaired + 1
        end
      end
    end
  end
end

if repaired > 0 then ring() end
local more = #found / 2 >= tonumber(ARGV[3])
return {repaired, parked, more and found[#found] or ''}
