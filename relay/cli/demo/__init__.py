"""`relay demo`: the whole relay at work on this machine, told as a story and checked as a test."""
