-- Notes what Planday says of its budgets: the live policy, what is left, and that nobody may call for a while.
--
-- KEYS   1 budget of the portal (hash), 2 budget of the client id (hash); fields as in planday_reserve.lua
-- ARGV   1 now in ms; 2 and 3 the live policies or ""; 4 scope of what is left ("portal", "client" or ""), 5 window,
--        6 calls left, 7 ms until it is full again; 8 scope that is blocked ("portal", "client" or ""), 9 ms
-- Return 1
-- Atomic because "the lesser of what is known and what is new" is a read and a write.

local now = tonumber(ARGV[1])
local key = {portal = KEYS[1], client = KEYS[2]}

for which = 1, 2 do
  if ARGV[1 + which] ~= '' then redis.call('HSET', KEYS[which], 'p', ARGV[1 + which]) end
end
if ARGV[4] ~= '' then
  local hash, left, until_ = key[ARGV[4]], 'l' .. ARGV[5], 'u' .. ARGV[5]
  local ends = tonumber(redis.call('HGET', hash, until_))
  if ends and now < ends then
    -- Answers overtake each other, and calls under way are taken off already: within one window less is right.
    local known = tonumber(redis.call('HGET', hash, left)) or 0
    if tonumber(ARGV[6]) < known then redis.call('HSET', hash, left, ARGV[6]) end
  else
    redis.call('HSET', hash, left, ARGV[6], until_, string.format('%.0f', now + tonumber(ARGV[7])))
  end
end
if ARGV[8] ~= '' then
  local hash = key[ARGV[8]]
  local known = tonumber(redis.call('HGET', hash, 'b')) or 0
  redis.call('HSET', hash, 'b', string.format('%.0f', math.max(known, now + tonumber(ARGV[9]))))
end
for which = 1, 2 do redis.call('PEXPIRE', KEYS[which], 86400000) end
return 1
