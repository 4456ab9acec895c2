-- Record events that were not seen before, give each its place in its entity's lane, and ring for a worker.
-- Atomic because a sender's 202 must mean that all of it is stored, and because a batch is all or none.
--
-- ARGV: prefix, now, backlog limit, entity record's life in s, bell id, bell blob, bell life in ms, queue key,
--       then per event: id, lane, type, record (JSON)
-- Returns: per event {1 if seen before else 0, sequence}; error BACKLOG when too much waits.

local limit, life = tonumber(ARGV[3]), ARGV[4]
local out = {}
local fresh, due = 0, false

if redis.call('ZCARD', P .. 'open') >= limit then
  return redis.error_reply('BACKLOG ' .. limit)
end

for i = 9, #ARGV, 4 do
  local is_new, seq, is_due = accept_event(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], life)
  if is_new then fresh = fresh + 1 end
  due = due or is_due
  out[#out + 1] = {is_new and 0 or 1, seq}
end

announce(fresh, due, ARGV[5], ARGV[6], ARGV[7], ARGV[8])
return out
