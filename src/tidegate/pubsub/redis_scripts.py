"""What Redis does by itself, because it has to be done at once.

Each script is given the ``run_id`` of the server that it is to run on. A server that was started
again, or took the place of another, may have lost messages; then a topic counts anew, so that no
position stands for two messages.
"""

from __future__ import annotations

import functools
import hashlib

# KEYS: the state of a topic, its messages, its channel. ARGV: run_id, a new epoch, how many
# messages to keep, for how long in ms, what precedes and what follows the position in an envelope.
PUBLISH = """
local state, messages = KEYS[1], KEYS[2]
local epoch = ARGV[2]
if redis.call('HGET', state, 'run') == ARGV[1] then
    epoch = redis.call('HGET', state, 'epoch')
else
    redis.call('DEL', state, messages)
    redis.call('HSET', state, 'run', ARGV[1], 'epoch', epoch)
end
local offset = redis.call('HINCRBY', state, 'last', 1)
redis.call('XADD', messages, 'MAXLEN', '~', ARGV[3], offset .. '-0', 'k', ARGV[5], 'm', ARGV[6])
redis.call('PEXPIRE', state, ARGV[4])
redis.call('PEXPIRE', messages, ARGV[4])
redis.call('PUBLISH', KEYS[3], ARGV[5] .. epoch .. string.format('%016x', offset) .. ARGV[6])
return {epoch, offset}
"""

# KEYS: the state of a topic, its messages. ARGV: run_id, the offset after which to read, or -1.
READ = """
local state = redis.call('HMGET', KEYS[1], 'run', 'epoch', 'last')
if state[1] ~= ARGV[1] then
    return {'', 0, {}}
end
local found = {}
if ARGV[2] ~= '-1' then
    found = redis.call('XRANGE', KEYS[2], '(' .. ARGV[2] .. '-0', '+')
end
return {state[2], tonumber(state[3]), found}
"""

# KEYS: who has joined a topic. ARGV: for how long in ms, then who.
ATTEND = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for number = 2, #ARGV do
    redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[number])
end
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)
if #gone > 0 then
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
end
redis.call('PEXPIRE', KEYS[1], ARGV[1] * 2)
return gone
"""

# The same, with those who are there.
ATTENDING = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)
if #gone > 0 then
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
end
return {gone, redis.call('ZRANGE', KEYS[1], 0, -1)}
"""

SCRIPTS = (PUBLISH, READ, ATTEND, ATTENDING)


@functools.cache
def sha(script: str) -> str:
    """Give the name by which Redis knows a script that it was given."""
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
