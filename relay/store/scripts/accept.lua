-- Record events that were not seen before, give each its place in its entity's lane, and ring for a worker.
-- Atomic because a sender's 202 must mean that all of it is stored, and because a batch is all or none.
--
-- ARGV: prefix, now, backlog limit, entity record's life in s, bell id, bell blob, bell life in ms, queue key,
--       then per event: id, lane, type, record (JSON)
-- Returns: per event {1 if seen before else 0, sequence}; error BACKLOG when too much waits.

local limit = tonumber(ARGV[3])
local life = ARGV[4]
local out = {}
local fresh = 0
local due = false

if redis.call('ZCARD', P .. 'open') >= limit then
  return redis.error_reply('BACKLOG ' .. limit)
end

for i = 9, #ARGV, 4 do
  local id, lane, kind, record = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local event = P .. 'e:' .. id
  local known = redis.call('HGET', event, 'seq')
  if known then
    redis.call('HINCRBY', P .. 'count', 'repeated', 1)
    out[#out + 1] = {1, tonumber(known)}
  else
    local entity = P .. 'n:' .. lane
    local seq = redis.call('HINCRBY', entity, 'seq', 1)
    if seq == 1 then
      -- The entity was forgotten, but an old replay may have left what targets have of it: go on above that.
      local fields = redis.call('HGETALL', entity)
      for n = 1, #fields, 2 do
        if fields[n]:sub(1, 3) == 'hi:' and tonumber(fields[n + 1]) >= seq then seq = tonumber(fields[n + 1]) + 1 end
      end
      redis.call('HSET', entity, 'seq', seq)
    end
    redis.call('EXPIRE', entity, life)
    redis.call('HSET', event, 'st', 'accepted', 'seq', seq, 'at', NOW, 'lane', lane, 'ty', kind, 'tok', 0)
    redis.call('SET', P .. 'b:' .. id, record)
    redis.call('ZADD', P .. 'open', NOW, id)
    redis.call('ZADD', P .. 'ix:e', NOW, id)
    redis.call('ZADD', P .. 'ix:n:' .. lane, NOW, id)
    if redis.call('RPUSH', P .. 'le:' .. lane, id) == 1 then
      redis.call('ZADD', P .. 'due:e', NOW, id)
      due = true
    end
    fresh = fresh + 1
    out[#out + 1] = {0, seq}
  end
end

if fresh > 0 then redis.call('HINCRBY', P .. 'count', 'accepted', fresh) end
if due then
  ring()
  -- The doorbell: only when no drain lives is an arq job needed to start one (engine-limits.md 1.3, 1).
  if redis.call('ZCOUNT', P .. 'drains', NOW, '+inf') == 0 then
    if redis.call('SET', 'arq:job:' .. ARGV[5], ARGV[6], 'NX', 'PX', ARGV[7]) then
      redis.call('ZADD', ARGV[8], 'NX', NOW, ARGV[5])
    end
  end
end
return out
