"""The second door: reads Planday's lists, compares them with what was seen before, and makes events of what differs."""
