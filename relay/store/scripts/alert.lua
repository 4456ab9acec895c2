-- Change the record of one incident, and accept the event that tells of the change.
-- Atomic because whoever watches may die at any moment: an incident that is recorded but not told would stay
-- silent, one that is told but not recorded would be told twice. Of two that watch at once only one finds the
-- record as it expects it. No backlog limit: when too much waits, that is what has to be told.
--
-- ARGV: prefix, now, incident, expected record ('' = none), new record ('' = remove), how many told events are
--       remembered, entity record's life in s, bell id, bell blob, bell life in ms, queue key,
--       then, if something is told: id, lane, type, record (JSON)
-- Returns: 1 if it was changed, 0 if somebody else did meanwhile.

local alerts, told = P .. 'alerts', P .. 'alerts:told'
local incident, expected, record, kept = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])

if (redis.call('HGET', alerts, incident) or '') ~= expected then return 0 end
if record == '' then
  redis.call('HDEL', alerts, incident)
else
  redis.call('HSET', alerts, incident, record)
end
if ARGV[12] then
  local is_new, _, is_due = accept_event(ARGV[12], ARGV[13], ARGV[14], ARGV[15], ARGV[7])
  redis.call('ZADD', told, NOW, ARGV[12])
  redis.call('ZREMRANGEBYRANK', told, 0, -kept - 1)
  announce(is_new and 1 or 0, is_due, ARGV[8], ARGV[9], ARGV[10], ARGV[11])
end
return 1
