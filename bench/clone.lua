-- Copy one event that really went through the relay, with all that is kept of it, so many times under other ids and times.
-- ARGV: prefix, its id, first number, how many, now (ms), how many are there already, ms from one to the older next,
-- then the sorted sets that it stands in. Returns how many.
-- An id is the template's with its number as the last 12 digits; `{lane}` and `{person}` in a set's name are filled in.
local prefix, id, first, count = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local now, already, apart = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local TAKES = 300 -- ms from coming in to its end
local day, swing = 86400000, 10000000 -- closer together by day, and never out of order

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
  local age = (already + n - first + 0.5) * apart
  local at = now - age + swing * math.sin(2 * math.pi * age / day)
  local entity = tostring(70000000 + math.floor(n / 4))
  local lane = fields.lane:gsub('%d+$', entity)
  local when = string.format('"t":%.3f', at / 1000)
  local person = tostring(910000 + n % 2000)
  redis.call('HSET', prefix .. 'e:' .. new, unpack(event))
  redis.call('HSET', prefix .. 'e:' .. new, 'at', tostring(at), 'lane', lane, 'emp', person, 'done', tostring(at + TAKES))
  local content = (before .. entity .. after):gsub(id, new)
  content = content:gsub('"at":[%d.]+', string.format('"at":%.3f', at / 1000), 1)
  redis.call('SET', prefix .. 'b:' .. new, content)
  for target, kept in pairs(targets) do
    redis.call('HSET', prefix .. 'd:' .. new .. ':' .. target, unpack(kept[1]))
    redis.call('HSET', prefix .. 'd:' .. new .. ':' .. target, 'up', tostring(at + TAKES))
    for _, attempt in ipairs(kept[2]) do
      redis.call('RPUSH', prefix .. 'a:' .. new .. ':' .. target, (attempt:gsub('"t":[%d.]+', when)))
    end
  end
  for one = 8, #ARGV do
    local name = ARGV[one]:gsub('{lane}', lane):gsub('{person}', person)
    redis.call('ZADD', name, tostring(at), new)
  end
end
redis.call('HINCRBY', prefix .. 'count', 'accepted', count)
return count
