-- Finish events: claim the change they stand for, keep what was learned, and open a delivery per target.
-- Atomic and fenced because a second worker may hold the event by now, and because an event must never be
-- routed in part.
--
-- ARGV: prefix, now, then per event: id, token, envelope (JSON), record without the sender's words ('' = as it is),
--       whether that is what stays (1/0; of a duplicate it always is), refusals (JSON), version ('' = none), types
--       that this one undoes (joined by a blank), when its state was read (ms), since when the feed's difference
--       spans (ms, '' = none), its people (ids joined by a blank), its department ('' = none), number of targets,
--       then per target: name, whether an older delivery of this type gives way to it (1/0), when it is due in ms
-- Returns: per event 'routed', 'unrouted', 'lost' (somebody else holds it), or the id of the event that it doubles.

local out = {}
local i = 3

-- Each claimed type is kept as " type=event:version:read ", with the time in ms at which the state was read.
-- An event doubles another of its type that stands for the same version, or whose state was read after this one was
-- accepted: that state holds what this one is about. By ten seconds at least, more than clocks may differ and more than
-- Planday may take until a change shows in its reads: a change told twice is better than one never told.
-- What the feed found in the end (`since`) may have been told on the way, under an earlier version: then it doubles
-- that, provided that the state it found is the one that was told last.
local SHOWS_AFTER = 10000

local function claim_version(lane, kind, id, at, version, read, undone, since)
  local entity = P .. 'n:' .. lane
  local current, types, newest = unpack(redis.call('HMGET', entity, 'ver', 'types', 'rd'))
  types = types or ' '
  local mine = ' ' .. kind:gsub('%W', '%%%0') .. '='
  local first, its_version, its_read = types:match(mine .. '([^:%s]+):([^:%s]*):(%S*) ')
  if first and first ~= id then
    if its_version == version and current == version then return first end
    if tonumber(at) + SHOWS_AFTER <= tonumber(its_read) then return first end
    if since ~= '' and current == version and tonumber(its_read) > tonumber(since) then return first end
  end
  types = types:gsub(mine .. '%S+ ', ' ')
  for other in undone:gmatch('%S+') do
    types = types:gsub(' ' .. other:gsub('%W', '%%%0') .. '=%S+ ', ' ')
  end
  types = types .. kind .. '=' .. id .. ':' .. version .. ':' .. read .. ' '
  if tonumber(read) < tonumber(newest or '0') then read = newest end
  redis.call('HSET', entity, 'ver', version, 'types', types, 'rd', read)
  return nil
end

-- What waits and is older, of the same type, gives way to this one (design.md, invariant 5): what is on the wire, parked
-- or forced by a person does not. As each one does so to the one before it, looking a little way back is enough. It is
-- due when the older one was, if that is sooner: what changes all the time is not put off for ever.
local function supersede(lane, target, id, kind, seq)
  for _, other in ipairs(redis.call('LRANGE', P .. 'ld:' .. target .. ':' .. lane, -64, -1)) do
    local its_seq, its_kind = unpack(redis.call('HMGET', P .. 'e:' .. other, 'seq', 'ty'))
    local state, force, due = unpack(redis.call('HMGET', P .. 'd:' .. other .. ':' .. target, 'st', 'force', 'due'))
    if its_kind == kind and state == 'waiting' and not force and tonumber(its_seq) < tonumber(seq) then
      local record = P .. 'd:' .. id .. ':' .. target
      if tonumber(due) < tonumber(redis.call('HGET', record, 'due')) then redis.call('HSET', record, 'due', due) end
      not_due(target, other)
      move_delivery(other, target, 'superseded', 'a newer ' .. kind .. ' (' .. id .. ') came before this one was sent')
    end
  end
end

while i <= #ARGV do
  local id, token, envelope, record, strip = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local refusals, version, undone, read = ARGV[i + 5], ARGV[i + 6], ARGV[i + 7], ARGV[i + 8]
  local since, people, department = ARGV[i + 9], ARGV[i + 10], ARGV[i + 11]
  local count, first_target = tonumber(ARGV[i + 12]), i + 13
  i = first_target + 3 * count
  local event = P .. 'e:' .. id
  local state, held, lane, at, kind, seq = unpack(redis.call('HMGET', event, 'st', 'tok', 'lane', 'at', 'ty', 'seq'))
  local again = redis.call('HGET', event, 'again')
  if state ~= 'accepted' or held ~= token then
    out[#out + 1] = 'lost'
  else
    redis.call('ZREM', P .. 'lease:e', id)
    redis.call('HDEL', event, 'since', 'due', 'lost', 'tries', 'faults')
    for person in people:gmatch('%S+') do
      redis.call('ZADD', P .. 'ix:p:' .. lane:match('^[^:]*') .. ':' .. person, at, id)
    end
    if people ~= '' then redis.call('HSET', event, 'emp', people) end
    if department ~= '' then redis.call('HSET', event, 'dep', department) end
    local doubled = version ~= '' and claim_version(lane, kind, id, at, version, read, undone, since)
    if doubled then
      redis.call('HSET', event, 'st', 'duplicate', 'dup', doubled, 'why', 'the same change came as ' .. doubled)
      redis.call('ZADD', P .. 'ix:e:duplicate', at, id)
      redis.call('HINCRBY', P .. 'count', 'duplicate', 1)
      if record ~= '' then redis.call('SET', P .. 'b:' .. id, record) end
      close_event(id)
      out[#out + 1] = doubled
    else
      redis.call('HSET', event, 'left', count)
      local body = P .. 'b:' .. id
      if record == '' or strip == '0' then record = redis.call('GET', body):match('^[^\n]*') end
      redis.call('SET', body, record .. '\n' .. envelope .. '\n' .. refusals)
      if count == 0 then
        redis.call('HSET', event, 'st', 'unrouted', 'why', 'no target takes it')
        redis.call('ZADD', P .. 'ix:e:unrouted', at, id)
        redis.call('HINCRBY', P .. 'count', 'unrouted', 1)
        close_event(id)
        out[#out + 1] = 'unrouted'
      else
        local names = {}
        for n = first_target, i - 1, 3 do names[#names + 1] = ARGV[n] end
        redis.call('HSET', event, 'st', 'routed', 'tg', table.concat(names, ' '), 'why', '')
        for n = first_target, i - 1, 3 do
          local target = ARGV[n]
          redis.call('SADD', P .. 'targets', target)
          redis.call('HSET', P .. 'd:' .. id .. ':' .. target, 'st', 'waiting', 'tok', 0, 'n', 0, 'up', NOW, 'due', ARGV[n + 2])
          redis.call('ZADD', P .. 'ix:d:' .. target .. ':waiting', at, id)
          if again then redis.call('HSET', P .. 'd:' .. id .. ':' .. target, 'force', 1, 'upto', again) end
          if ARGV[n + 1] == '1' then supersede(lane, target, id, kind, seq) end
          enter_delivery_lane(lane, target, id, seq)
        end
        ring()
        out[#out + 1] = 'routed'
      end
    end
    leave_event_lane(lane, id)
  end
end
return out
