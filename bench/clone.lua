-- Copy one event that really went through the relay, with all that is kept of it, so many times under other ids and times.
-- ARGV: prefix, its id, first number, how many, time of the first (ms), ms from one to the older next, then the sorted
-- sets that it stands in. Returns how many.
-- An id is the template's with its number as the last 12 digits; `{lane}` and `{person}` in a set's name are filled in.
local prefix, id, first, count = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local newest, apart = tonumber(ARGV[5]), tonumber(ARGV[6])

local event = redis.call('HGETALL', prefix .. 'e:' .. id)
local fields = {}
for at = 1, #event, 2 do fields[event[at]] = event[at + 1] end
local body = redis.call('GET', prefix .. 'b:' .. id)
local before, after = body:match('^(.-"eid":")%d+(".*)$')
local targets = {}
for target in (fields.tg or ''):gmatch('%S+') do
  targets[target] = { redis.call('HGETALL', prefix .. 'd:' .. id .. ':' .. target),
                      redis.call('LRANGE', prefix .. 'a:' .. id .. ':' .. target, 0, -1) }
end

for n = first, first + count - 1 do
  local new = id:sub(1, #id - 12) .. string.format('%012d', n)
  local at = newest - (n - first) * apart
  local entity = tostring(70000000 + math.floor(n / 4))
  local lane = fields.lane:gsub('%d+$', entity)
  local person = tostring(910000 + n % 2000)
  redis.call('HSET', prefix .. 'e:' .. new, unpack(event))
  redis.call('HSET', prefix .. 'e:' .. new, 'at', tostring(at), 'lane', lane, 'emp', person)
  local content = (before .. entity .. after):gsub(id, new)
  redis.call('SET', prefix .. 'b:' .. new, content)
  for target, kept in pairs(targets) do
    redis.call('HSET', prefix .. 'd:' .. new .. ':' .. target, unpack(kept[1]))
    if #kept[2] > 0 then redis.call('RPUSH', prefix .. 'a:' .. new .. ':' .. target, unpack(kept[2])) end
  end
  for one = 7, #ARGV do
    local name = ARGV[one]:gsub('{lane}', lane):gsub('{person}', person)
    redis.call('ZADD', name, tostring(at), new)
  end
end
redis.call('HINCRBY', prefix .. 'count', 'accepted', count)
return count
