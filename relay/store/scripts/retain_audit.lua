-- Take the oldest acts out of the audit that are past their age. Atomic because two workers would take twice as many.
--
-- ARGV: prefix, now, time in s before which an act goes, most at once
-- Returns: how many went.

local key, before = P .. 'audit', tonumber(ARGV[3])
local gone = 0
for _ = 1, tonumber(ARGV[4]) do
  local first = redis.call('LINDEX', key, 0)
  if not first or cjson.decode(first).at >= before then break end
  redis.call('LPOP', key)
  gone = gone + 1
end
return gone
