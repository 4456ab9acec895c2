-- Look at a stretch of an index and put what a replay plan shall take aside, in the order in which it will be opened.
-- One script because it asks three records per item: as many round trips would take minutes. It changes nothing but
-- the plan's own draft.
--
-- ARGV: prefix, now, plan, draft's life in ms, index, its target and state ('' '' = an index of events), score of the
--       last one looked at (or the lowest), its id ('' = none yet), highest score, most to look at, portal, entity with
--       its id, pattern of the type, employee, department ('' = any), force (1/0), kinds that can be read anew
--       ('' = nothing is), portals that can, states taken, targets (each joined by a blank)
-- Returns: {score, id, looked at, counts, rows}; id '' at the end.
--   counts: per target, state and fate {'target state fate', how many, first accepted, last accepted in ms}; fate is
--           'first', 'reread' (both are opened), 'superseded', 'left' or 'erased'
--   rows:   of an index of events, those without a delivery to some target: 'id accepted sequence state type targets'

local plan, life, index, of_target, of_state = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local score, after, high, most = ARGV[8], ARGV[9], ARGV[10], tonumber(ARGV[11])
local portal, entity, pattern, employee, department = ARGV[12], ARGV[13], ARGV[14], ARGV[15], ARGV[16]
local force, kinds, portals, taken = ARGV[17] == '1', ARGV[18], ARGV[19], ' ' .. ARGV[20] .. ' '
local choosing = ARGV[20] ~= ''
local targets = {}
for name in ARGV[21]:gmatch('%S+') do targets[#targets + 1] = name end

local parts = {}
for part in (pattern .. '*'):gmatch('([^*]*)%*') do parts[#parts + 1] = part end

-- As relay.routing.matches: `*` is any text.
local function fits_type(kind)
  if pattern == '' or pattern == kind then return true end
  if #parts == 1 then return false end
  local head, tail = parts[1], parts[#parts]
  if #kind < #head + #tail or kind:sub(1, #head) ~= head or kind:sub(#kind - #tail + 1) ~= tail then return false end
  local at, stop = #head + 1, #kind - #tail
  for n = 2, #parts - 1 do
    if parts[n] ~= '' then
      local from, to = kind:find(parts[n], at, true)
      if not from or to > stop then return false end
      at = to + 1
    end
  end
  return true
end

local function has(list, one) return (' ' .. list .. ' '):find(' ' .. one .. ' ', 1, true) end

local counts, drafts, rows = {}, {}, {}

local function count(target, state, fate, at)
  local key = target .. ' ' .. state .. ' ' .. fate
  local row = counts[key]
  if not row then
    counts[key] = {1, at, at}
    return
  end
  row[1] = row[1] + 1
  if at < row[2] then row[2] = at end
  if at > row[3] then row[3] = at end
end

local function choose(id, target, state, at, lane, kind, seq, erased)
  if not taken:find(' ' .. state .. ' ', 1, true) then return count(target, state, 'left', at) end
  if erased then return count(target, state, 'erased', at) end
  local where, what = lane:match('^([^:]*):([^:]*)')
  local reread = kinds ~= '' and has(kinds, what) and has(portals, where) and kind:sub(-8) ~= '.deleted'
  local fate = reread and 'reread' or 'first'
  local member = string.format('%012d:%s:%s:%s:%s', tonumber(seq), id, target, state, fate)
  -- What comes by twice, because it moved meanwhile, counts once.
  if redis.call('ZADD', P .. 'plan:' .. plan .. ':draft:' .. target, at, member) == 0 then return end
  drafts[target] = true
  if not reread and not force
    and overtaken(lane, target, seq, redis.call('HGET', P .. 'd:' .. id .. ':' .. target, 'upto')) then
    count(target, state, 'superseded', at)
  else
    count(target, state, fate, at)
  end
end

local function look(id)
  local at, lane, seq, kind, state, names, people, of, erased = unpack(redis.call('HMGET', P .. 'e:' .. id,
    'at', 'lane', 'seq', 'ty', 'st', 'tg', 'emp', 'dep', 'er'))
  if not at then return end
  if portal ~= '' and lane:sub(1, #portal + 1) ~= portal .. ':' then return end
  if entity ~= '' and lane:sub(-#entity - 1) ~= ':' .. entity then return end
  if employee ~= '' and not has(people or '', employee) then return end
  if department ~= '' and of ~= department then return end
  if not fits_type(kind) then return end
  at = tonumber(at)
  if of_target ~= '' then
    local now_in = of_state == 'waiting' and redis.call('HGET', P .. 'd:' .. id .. ':' .. of_target, 'st') or of_state
    return choose(id, of_target, now_in, at, lane, kind, seq, erased)
  end
  names = names or ''
  local lacks = false
  for _, target in ipairs(targets) do
    if has(names, target) then
      local now_in = choosing and redis.call('HGET', P .. 'd:' .. id .. ':' .. target, 'st')
      if now_in then choose(id, target, now_in, at, lane, kind, seq, erased) end
    else
      lacks = true
    end
  end
  if lacks and not erased and (state == 'routed' or state == 'unrouted' or state == 'dead') then
    rows[#rows + 1] = string.format('%s %.3f %s %s %s %s', id, at, seq, state, kind, names)
  end
end

-- From the last one on: what has the same score and stands before it was looked at.
local ties = after ~= '' and redis.call('ZCOUNT', P .. index, score, score) or 0
local found = redis.call('ZRANGEBYSCORE', P .. index, score, high, 'WITHSCORES', 'LIMIT', 0, most + ties)
local looked, last_score, last_id = 0, score, ''
for n = 1, #found, 2 do
  local id = found[n]
  if after == '' or tonumber(found[n + 1]) > tonumber(score) or id > after then
    if looked == most then break end
    looked, last_score, last_id = looked + 1, found[n + 1], id
    look(id)
  end
end
if looked < most then last_id = '' end

for target in pairs(drafts) do redis.call('PEXPIRE', P .. 'plan:' .. plan .. ':draft:' .. target, life) end
local told = {}
for key, row in pairs(counts) do
  told[#told + 1] = {key, row[1], string.format('%.3f', row[2]), string.format('%.3f', row[3])}
end
return {last_score, last_id, looked, told, table.concat(rows, '\n')}
