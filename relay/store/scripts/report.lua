-- Look at the next stretch of a period's events, each once, and count what became of it with one target.
-- A script because an event, its delivery and its attempts must be of one moment, and because a hundred thousand events
-- are too many to be read one by one. Changes nothing. `now` is not used.
--
-- ARGV: prefix, now, target, from in ms, until in ms (not included), place to go on from: its ms ('' = at `from`),
--       its id, most events, what to list ('' = nothing; see `what` below, 'accepted', or 'repeated')
-- Returns: {1 if the period ends here else 0, last ms, last id, counts, rows}
--   counts: flat: type, what, again, how many, first accepted at (ms)
--   row:    {id, what, type, lane, accepted at, changed at, reason, attempts of this round, round, again, salt}
--
-- `what` is the delivery's state (what is on the wire waits), or without a delivery to this target `pending` (not routed
-- yet), `failed` (dead before it was routed), `unrouted`, `duplicate`, `filtered` (routed, but not to this target).
-- `again` says why the target may have it more than once: `new_key`, `taken_twice`, `unknown_retried`, `worker_lost`; or ''.

local target, from, till = ARGV[3], ARGV[4], tonumber(ARGV[5])
local last_at, last_id = ARGV[6], ARGV[7]
local most, list = tonumber(ARGV[8]), ARGV[9]
local index = P .. 'ix:e'
local KEPT = 25  -- attempts that are kept of one delivery; of more, the first are gone

local WITHOUT = {accepted = 'pending', dead = 'failed', unrouted = 'unrouted', duplicate = 'duplicate', routed = 'filtered'}
local STATES = {waiting = true, delivered = true, dead = true, parked = true, cancelled = true, superseded = true}

-- Whether a request that may have been taken was followed by another one.
local function sent_again(id, attempts, round, lost, salt)
  if salt then return 'new_key' end
  local found = lost and 'worker_lost' or ''
  if tonumber(attempts or '0') < 2 and not round then return found end
  local kept = redis.call('LRANGE', P .. 'a:' .. id .. ':' .. target, 0, -1)
  local taken, unknown, before = 0, false, #kept < KEPT and 0 or nil
  for place, raw in ipairs(kept) do
    local ok, one = pcall(cjson.decode, raw)
    if ok then
      -- Without a status nothing was sent: the target was known to have it.
      if one.o == 'delivered' and one.s then taken = taken + 1 end
      if one.o == 'unknown' and place < #kept then unknown = true end
      -- Lost attempts are counted, so a number is missing; a new round begins to count anew.
      if before and one.n <= before then before = 0 end
      if before and one.n > before + 1 then found = 'worker_lost' end
      before = one.n
    end
  end
  if taken > 1 then return 'taken_twice' end
  return unknown and 'unknown_retried' or found
end

local first
if last_at == '' then
  first = redis.call('ZCOUNT', index, '-inf', '(' .. from)
else
  local rank = redis.call('ZRANK', index, last_id)
  -- It may have been removed meanwhile: then from the first of its time on, but for what stands before it.
  first = rank and rank + 1 or redis.call('ZCOUNT', index, '-inf', '(' .. last_at)
end
local found = redis.call('ZRANGE', index, first, first + most - 1, 'WITHSCORES')

local counts, order, rows = {}, {}, {}
local ends = #found < 2 * most
for i = 1, #found, 2 do
  local id, at = found[i], found[i + 1]
  if tonumber(at) >= till then
    ends = true
    break
  end
  local seen = last_at ~= '' and tonumber(at) == tonumber(last_at) and id <= last_id
  if not seen then
    local state, kind, lane, why = unpack(redis.call('HMGET', P .. 'e:' .. id, 'st', 'ty', 'lane', 'why'))
    local delivery, attempts, round, lost, salt, changed, reason = unpack(redis.call('HMGET',
      P .. 'd:' .. id .. ':' .. target, 'st', 'n', 'rd', 'all', 'nk', 'up', 'why'))
    local what = delivery == 'sending' and 'waiting' or delivery or WITHOUT[state or '']
    if what and kind then
      local again = delivery and sent_again(id, attempts, round, lost, salt) or ''
      local name = kind .. ' ' .. what .. ' ' .. again
      local entry = counts[name]
      if entry then
        entry[4] = entry[4] + 1
      else
        entry = {kind, what, again, 1, at}
        counts[name] = entry
        order[#order + 1] = entry
      end
      if list ~= '' and (list == what or (list == 'accepted' and STATES[what]) or (list == 'repeated' and again ~= '')) then
        rows[#rows + 1] = {
          id, what, kind, lane or '', at, changed or '', delivery and reason or why or '', tonumber(attempts or '0'),
          tonumber(round or '1'), again, salt or '',
        }
      end
    end
  end
  last_at, last_id = at, id
end

local flat = {}
for _, entry in ipairs(order) do
  for _, value in ipairs(entry) do flat[#flat + 1] = value end
end
return {ends and 1 or 0, last_at, last_id, flat, rows}
