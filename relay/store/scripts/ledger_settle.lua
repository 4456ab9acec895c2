-- Note what became of a line that was marked as being sent.
-- Atomic and fenced because another worker may have marked the line since: then nothing changes.
--
-- ARGV: prefix, now, target, line (hash), token, what became of it, life (ms)
--       taken: the target has it; refused: the target has it not; unsent: it did not get it this time, so that the
--       mark goes unless an earlier attempt left it
-- Returns: 1, or 0 when the mark is another's.

local entry = P .. 'lg:' .. ARGV[3] .. ':' .. ARGV[4]
local token, content, event, key, kept, read, still =
  unpack(redis.call('HMGET', entry, 'pt', 'pc', 'pe', 'pk', 'px', 'pr', 'pu'))
if token ~= ARGV[5] then return 0 end
if ARGV[6] == 'unsent' and still == '1' then return 1 end
if ARGV[6] == 'taken' then
  redis.call('HSET', entry, 'c', content, 'e', event, 'at', NOW, 'k', key, 'r', read)
  redis.call('HINCRBY', entry, 'n', 1)
  if kept and kept ~= '' then redis.call('HSET', entry, 'x', kept) else redis.call('HDEL', entry, 'x') end
  redis.call('PEXPIRE', entry, ARGV[7])
end
redis.call('HDEL', entry, 'pc', 'pe', 'pat', 'px', 'pk', 'pr', 'pt', 'pu')
return 1
