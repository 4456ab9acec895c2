-- Write what the change feed saw: a record's snapshot together with the events that tell how it came about.
-- Atomic because a runner may die at any moment: an event without its snapshot would be told twice, a snapshot
-- without its events never. A snapshot is replaced only if it is still the one that was compared with.
--
-- ARGV: prefix, now, backlog limit, entity record's life in s, bell id, bell blob, bell life in ms, queue key,
--       snapshots key, days key, then per record: id, expected version ('' = none), snapshot ('' = remove), day,
--       number of events, then per event: id, lane, type, record (JSON)
-- Returns: per record 1 if it was written, 0 if somebody else wrote meanwhile; error BACKLOG when too much waits.

local limit, life = tonumber(ARGV[3]), ARGV[4]
local snapshots, days = ARGV[9], ARGV[10]
local out = {}
local fresh, due = 0, false

local waiting = redis.call('ZCARD', P .. 'open')
local i = 11
while i <= #ARGV do
  if tonumber(ARGV[i + 4]) > 0 and waiting >= limit then return redis.error_reply('BACKLOG ' .. limit) end
  i = i + 5 + 4 * tonumber(ARGV[i + 4])
end

i = 11
while i <= #ARGV do
  local id, expected, snapshot, day, count = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], tonumber(ARGV[i + 4])
  local stored = redis.call('HGET', snapshots, id)
  local version = stored and stored:match('^[^\n]*') or ''
  if version ~= expected then
    out[#out + 1] = 0
  else
    if snapshot == '' then
      redis.call('HDEL', snapshots, id)
      redis.call('ZREM', days, id)
    else
      redis.call('HSET', snapshots, id, snapshot)
      redis.call('ZADD', days, day, id)
    end
    for n = i + 5, i + 4 * count + 1, 4 do
      local is_new, _, is_due = accept_event(ARGV[n], ARGV[n + 1], ARGV[n + 2], ARGV[n + 3], life)
      if is_new then fresh = fresh + 1 end
      due = due or is_due
    end
    out[#out + 1] = 1
  end
  i = i + 5 + 4 * count
end

announce(fresh, due, ARGV[5], ARGV[6], ARGV[7], ARGV[8])
return out
