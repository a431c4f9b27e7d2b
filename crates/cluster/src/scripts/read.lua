-- What was told after a place. KEYS: the stream, its last number, its memory. ARGV: number or -1, how many, a new memory.
-- The memory is gone when the server forgot, and of another process when it was restarted or replaced.
redis.call('SET', KEYS[3], ARGV[3], 'NX')
local memory = redis.call('GET', KEYS[3]) .. '.' .. string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') .. '.'
  .. string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
local last = tonumber(redis.call('GET', KEYS[2]) or 0)
local after = tonumber(ARGV[1])
if after < 0 or after >= last then return { memory, last, {} } end
local entries = redis.call('XRANGE', KEYS[1], string.format('%.0f-1', after + 1), '+', 'COUNT', ARGV[2])
return { memory, last, entries }
