-- Counts one call to Planday against a portal's and a client's budget, or says how long to wait.
--
-- KEYS   1 budget of the portal (hash), 2 budget of the client id (hash)
-- ARGV   1 now in ms; 2 part of each budget to leave to others (0 to 1); 3 and 4 the policies ("1=10,60=750") that
--        hold until a live one was noted; 5 "count" or "look"; 6 what the call is for (letters)
-- Return count: {ms to wait}, 0 means counted; look: {ms to wait, then scope, window, limit, left of each window}
-- Atomic because two processes must not both take the last place, and a call counts in both budgets or in none.
--
-- Fields: s<purpose>:<minute> calls of the portal by what they were for, kept for two minutes; p policy, b blocked until (ms), c<window>:<slot> calls in a slot of time, l<window> and u<window> what
-- Planday said is left, and until when (ms). Windows slide in slots, so that no second or minute of Planday's, wherever
-- it begins, sees more than its limit; a slot counts whole, which also leaves room for calls that travel unevenly.

local now, spare, counting = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[5] == 'count'
local wait, report, entries, stale = 0, {}, {}, {{}, {}}

local function weigh(which, scope, default)
  local flat = redis.call('HGETALL', KEYS[which])
  local hash = {}
  for i = 1, #flat, 2 do hash[flat[i]] = flat[i + 1] end
  wait = math.max(wait, (tonumber(hash.b) or 0) - now)

  local windows, slots = {}, {}
  for window, limit in string.gmatch(hash.p or default, '(%d+)=(%d+)') do
    local span = tonumber(window) * 1000
    windows[window] = {limit = tonumber(limit), span = span, size = math.max(100, math.floor(span / 60))}
    slots[window] = {}
  end
  for field, count in pairs(hash) do
    local window, slot = string.match(field, '^c(%d+):(%d+)$')
    if window then
      local rule, at = windows[window], tonumber(slot)
      if rule and at >= math.floor((now - rule.span) / rule.size) then
        table.insert(slots[window], {at = at, count = tonumber(count)})
      else
        table.insert(stale[which], field)
      end
    end
    local minute = string.match(field, '^s%a+:(%d+)$')
    if minute and tonumber(minute) < math.floor(now / 60000) - 1 then table.insert(stale[which], field) end
  end

  for window, rule in pairs(windows) do
    local mine = slots[window]
    table.sort(mine, function(a, b) return a.at < b.at end)
    local used = 0
    for _, slot in ipairs(mine) do used = used + slot.count end
    local kept = math.ceil(rule.limit * spare)
    local surplus = used + 1 - math.max(1, rule.limit - kept)
    for _, slot in ipairs(mine) do
      if surplus <= 0 then break end
      surplus = surplus - slot.count
      wait = math.max(wait, (slot.at + 1) * rule.size + rule.span - now)
    end

    local left, told = rule.limit - used, false
    local ends = tonumber(hash['u' .. window])
    if ends and now < ends then
      told = true
      local said = tonumber(hash['l' .. window]) or 0
      left = math.min(left, said)
      if said <= kept then wait = math.max(wait, ends - now) end
    end
    local slot = string.format('%.0f', math.floor(now / rule.size))
    table.insert(entries, {KEYS[which], 'c' .. window .. ':' .. slot, told and ('l' .. window)})
    for _, value in ipairs({scope, tonumber(window), rule.limit, math.max(0, left)}) do table.insert(report, value) end
  end
end

weigh(1, 'portal', ARGV[3])
weigh(2, 'client', ARGV[4])
wait = math.ceil(wait)
if not counting then return {wait, unpack(report)} end

for which = 1, 2 do
  if #stale[which] > 0 then redis.call('HDEL', KEYS[which], unpack(stale[which])) end
end
if wait > 0 then return {wait} end
for _, entry in ipairs(entries) do
  redis.call('HINCRBY', entry[1], entry[2], 1)
  if entry[3] then redis.call('HINCRBY', entry[1], entry[3], -1) end
end
redis.call('HINCRBY', KEYS[1], 's' .. ARGV[6] .. ':' .. string.format('%.0f', math.floor(now / 60000)), 1)
for which = 1, 2 do redis.call('PEXPIRE', KEYS[which], 86400000) end
return {0}
