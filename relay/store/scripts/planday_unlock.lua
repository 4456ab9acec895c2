-- Gives a short lock back.
--
-- KEYS   1 lock (string: its owner)
-- ARGV   1 owner
-- Return 1 given back, 0 it was not ours any more
-- Atomic because a lock that ran out may belong to someone else by now.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
