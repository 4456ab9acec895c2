-- Note that a request to a target that does not dedupe is about to be sent, so that a worker's death from here on
-- parks the delivery instead of sending it again. Fenced.
--
-- ARGV: prefix, now, id, target, token
-- Returns: 1, or 0 when somebody else holds it: then nothing may be sent.

local record = P .. 'd:' .. ARGV[3] .. ':' .. ARGV[4]
local state, held = unpack(redis.call('HMGET', record, 'st', 'tok'))
if state ~= 'sending' or held ~= ARGV[5] then return 0 end
redis.call('HSET', record, 'begun', 1)
return 1
