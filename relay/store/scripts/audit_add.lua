-- Append one act to the audit. Atomic because its number is its place: a cursor stays true while the oldest go.
--
-- ARGV: prefix, now, entry (a JSON object without its closing brace)
-- Returns: the number of the entry.

local number = redis.call('HINCRBY', P .. 'count', 'audited', 1)
redis.call('RPUSH', P .. 'audit', ARGV[3] .. ',"n":' .. number .. '}')
return number
