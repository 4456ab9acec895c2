-- Look at open events and put back whatever has work left but stands in no due set and under no lease.
-- In a store that kept every write this finds nothing; it is the net under a restored backup or a lost write.
-- Also parks deliveries of targets that no worker has served for a while: they left the settings.
--
-- ARGV: prefix, now, most events, rank to begin at, grace in ms
-- Returns: {repaired, parked, rank to go on from, or -1 at the end}
--
-- By rank, since many events can share one time. Those that close meanwhile move the ranks, so a round may pass
-- some over; the next round finds them.

local gone_since = now - tonumber(ARGV[5])

-- Workers of two settings may run side by side for a while: a target is gone only when none has named it for so long.
local function is_gone(target)
  local served = redis.call('ZSCORE', P .. 'served', target)
  return not served or tonumber(served) < gone_since
end
local first, most = tonumber(ARGV[4]), tonumber(ARGV[3])
local found = redis.call('ZRANGE', P .. 'open', first, first + most - 1)
local repaired, parked = 0, 0

local function in_lane(key, id)
  return redis.call('LPOS', key, id) ~= false
end

for _, id in ipairs(found) do
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
    if redis.call('LINDEX', key, 0) == id and not redis.call('ZSCORE', due_events(lane), id)
      and not redis.call('ZSCORE', P .. 'lease:e', id) then
      redis.call('ZADD', due_events(lane), NOW, id)
      repaired = repaired + 1
    end
  else
    for target in (targets or ''):gmatch('%S+') do
      local record = P .. 'd:' .. id .. ':' .. target
      local delivery = redis.call('HGET', record, 'st')
      if delivery == 'waiting' or delivery == 'sending' then
        local key = P .. 'ld:' .. target .. ':' .. lane
        local leases = P .. 'lease:t:' .. target
        if not in_lane(key, id) then
          redis.call('RPUSH', key, id)
          repaired = repaired + 1
        end
        local leased = redis.call('ZSCORE', leases, id)
        if is_gone(target) then
          if not leased or tonumber(leased) < now then
            not_due(target, id)
            local why = 'target gone: no worker has ' .. target .. ' in its settings'
            if delivery == 'sending' then
              lose_holder(id, target)
              why = why .. '; the worker that was sending this died: the target may have it'
            end
            move_delivery(id, target, 'parked', why)
            parked = parked + 1
          end
        elseif redis.call('LINDEX', key, 0) == id and not leased and not is_due(target, id) then
          if delivery == 'sending' then
            -- As after a worker's death: the next claim takes it back, and asks whether it may go out again.
            redis.call('ZADD', leases, NOW, id)
          else
            make_due(target, id, redis.call('HGET', record, 'due') or NOW)
          end
          repaired = repaired + 1
        end
      end
    end
  end
end

if repaired > 0 then ring() end
return {repaired, parked, #found < most and -1 or first + most}
