-- Needs: _opening
-- Take an event that ended without deliveries (unrouted, or dead by a fault of ours) through the line once more.
-- Atomic because its state, its lane and the open work change together.
--
-- ARGV: prefix, now, id, states that may be reopened (joined by a blank)
-- Returns: {'reopened'}, {'missing'}, or {'refused', present state}

local answer, state = open_event(ARGV[3], ARGV[4])
if answer == 'reopened' then ring() end
return {answer, state}
