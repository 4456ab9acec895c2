-- Count the members of some indexes by step of time. Read in one go, so that the numbers of a chart fit together.
--
-- ARGV: prefix, now, first step's begin in ms, step in ms, number of steps, then the indexes' names below the prefix
-- Returns: per index as many counts as there are steps, one after another.

local from, step, count = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local found = {}
for at = 6, #ARGV do
  for n = 0, count - 1 do
    local low = string.format('%.0f', from + n * step)
    local high = string.format('(%.0f', from + (n + 1) * step)
    found[#found + 1] = redis.call('ZCOUNT', P .. ARGV[at], low, high)
  end
end
return found
