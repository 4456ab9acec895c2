-- Changes a portal's token record, on request only while one field still has the value it was read with.
--
-- KEYS   1 token record (hash)
-- ARGV   1 field that is compared, or "" for none; 2 its expected value ("" means not there);
--        3 how many fields to remove, then their names; then field and value of each change
-- Return 1 changed, 0 the compared field has another value now
-- Atomic because a slow refresh must not overwrite a token that an operator entered meanwhile.

if ARGV[1] ~= '' and (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
local first = 4 + tonumber(ARGV[3])
for i = 4, first - 1 do redis.call('HDEL', KEYS[1], ARGV[i]) end
for i = first, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1
