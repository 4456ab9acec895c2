-- Look through some of our keys for a few texts; what is found is looked at more closely by whoever asks.
-- In the server because nearly nothing is found: all that is kept would have to be carried out otherwise.
--
-- ARGV: prefix, now, cursor, pattern of our keys, most keys, values that a key may have to be read at once,
--       then texts in lower case
-- Returns: {cursor, keys looked at, found: {key, type, place, value}, large keys: {key, type}}; a key is named without
--          its prefix; a key whose name was found has type ''

local most = tonumber(ARGV[6])
local skipped = #P
-- A lock or an errand ends by itself within a minute or so, and its name is all that it holds.
local PASSING = {'pd:lock:', 'errand:', 'consent:', 'rate:'}
-- Sets of event ids alone: their names may tell a person, their members cannot.
local IDS_ONLY = {'ix:', 'due:', 'lease:', 'open', 'le:', 'ld:', 'retention:'}

local function starts(name, list)
  for _, one in ipairs(list) do
    if name:sub(1, #one) == one then return true end
  end
  return false
end

local function holds(text)
  local plain = text:lower()
  for n = 7, #ARGV do
    if plain:find(ARGV[n], 1, true) then return true end
  end
  return false
end

local found, large, looked = {}, {}, 0
local answer = redis.call('SCAN', ARGV[3], 'MATCH', ARGV[4], 'COUNT', ARGV[5])

local SIZES = {hash = 'HLEN', list = 'LLEN', zset = 'ZCARD', set = 'SCARD'}

local function look(name, key)
  local kind = redis.call('TYPE', key).ok
  if kind == 'string' then
    local value = redis.call('GET', key)
    if value and holds(value) then found[#found + 1] = {name, kind, '', value} end
  elseif SIZES[kind] and redis.call(SIZES[kind], key) > most then
    large[#large + 1] = {name, kind}
  elseif kind == 'hash' then
    local pairs_ = redis.call('HGETALL', key)
    for n = 1, #pairs_, 2 do
      if holds(pairs_[n]) then found[#found + 1] = {name, kind, pairs_[n], pairs_[n]} end
      if holds(pairs_[n + 1]) then found[#found + 1] = {name, kind, pairs_[n], pairs_[n + 1]} end
    end
  elseif kind == 'list' then
    for n, value in ipairs(redis.call('LRANGE', key, 0, -1)) do
      if holds(value) then found[#found + 1] = {name, kind, tostring(n - 1), value} end
    end
  elseif kind == 'zset' or kind == 'set' then
    local read = kind == 'zset' and redis.call('ZRANGE', key, 0, -1) or redis.call('SMEMBERS', key)
    for _, member in ipairs(read) do
      if holds(member) then found[#found + 1] = {name, kind, member, member} end
    end
  end
end

for _, key in ipairs(answer[2]) do
  local name = key:sub(skipped + 1)
  if not starts(name, PASSING) then
    looked = looked + 1
    if holds(name) then found[#found + 1] = {name, '', '', name} end
    if not starts(name, IDS_ONLY) then look(name, key) end
  end
end
return {answer[1], looked, found, large}
