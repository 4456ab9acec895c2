-- Ask what a payroll target has of a line, and if it is to be sent, mark it as being sent.
-- Atomic because two deliveries of one line may ask at once: only one may go, and only from what is known.
--
-- ARGV: prefix, now, target, line (hash), content (hash, '-' = the target shall have nothing), event, idempotency key,
--       token, content (encrypted), read at (ms), life (ms), anew (1/0: send whatever is there),
--       released (1/0: a person let it go), dedupes (1/0), person ('portal:employee' or ''), look (1/0: write nothing)
-- Returns: {answer, event, at in ms, times sent, has something (1/0), content (encrypted), state of that delivery}
--          go: it is marked; same, nothing: the target has this, or nothing, already; older: it has a newer state;
--          busy: another delivery of the line is under way; unsure: nobody knows what became of the one named

local target, line, content, event, key = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local life, anew, released, dedupes = ARGV[11], ARGV[12] == '1', ARGV[13] == '1', ARGV[14] == '1'
local person, look = ARGV[15], ARGV[16] == '1'
local entry = P .. 'lg:' .. target .. ':' .. line

local has, by, at, sent, kept, under, read = unpack(redis.call('HMGET', entry, 'c', 'e', 'at', 'n', 'x', 'k', 'r'))
local open, open_by, open_at, open_kept, open_key, open_read =
  unpack(redis.call('HMGET', entry, 'pc', 'pe', 'pat', 'px', 'pk', 'pr'))
sent = tonumber(sent or '0')

local function answer(what, who, when, state)
  local there = has and has ~= '-'
  return { what, who or '', when or '', sent, there and 1 or 0, there and kept or '', state or '' }
end

if open_by and open_by ~= event then
  local state = redis.call('HGET', P .. 'd:' .. open_by .. ':' .. target, 'st') or ''
  if state == 'delivered' or state == 'cancelled' then
    -- It was taken and nobody could write that down here, or a person said that it is there.
    has, by, at, kept, under, read, sent = open, open_by, open_at, open_kept, open_key, open_read, sent + 1
    if not look then
      redis.call('HSET', entry, 'c', has, 'e', by, 'at', at, 'k', under, 'r', read, 'n', sent)
      if kept and kept ~= '' then redis.call('HSET', entry, 'x', kept) else redis.call('HDEL', entry, 'x') end
      redis.call('HDEL', entry, 'pc', 'pe', 'pat', 'px', 'pk', 'pr', 'pt', 'pu')
    end
  elseif is_open(state) then
    return answer('busy', open_by, open_at, state)
  elseif not (released or anew) then
    return answer('unsure', open_by, open_at, state)
  end
elseif open_by and open_key == key and not (dedupes or released) then
  -- An earlier attempt of this very delivery may have been taken.
  return answer('unsure', open_by, open_at, 'sending')
end

if not anew or under == key then
  if has == content then return answer('same', by, at) end
  if content == '-' and not has then return answer('nothing') end
  if read and tonumber(ARGV[10]) < tonumber(read) then return answer('older', by, at) end
end

if not look then
  -- An outcome that is still open stays so, whatever becomes of this attempt, unless a person knew better.
  local still = open_by == event and open_key == key and not released
  redis.call('HSET', entry, 'pu', still and 1 or 0)
  redis.call('HSET', entry, 'pc', content, 'pe', event, 'pk', key, 'pt', ARGV[8], 'pat', NOW, 'px', ARGV[9], 'pr', ARGV[10])
  redis.call('PEXPIRE', entry, life)
  if person ~= '' then
    redis.call('SADD', P .. 'lgp:' .. person, target .. ':' .. line)
    redis.call('PEXPIRE', P .. 'lgp:' .. person, life)
  end
end
return answer('go', by, at)
