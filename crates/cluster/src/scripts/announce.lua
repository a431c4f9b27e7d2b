-- Tells all nodes. KEYS: the stream, its last number. ARGV: how many to keep, then kind, subject, detail of each event.
for i = 2, #ARGV, 3 do
  local number = redis.call('INCR', KEYS[2])
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], number .. '-1', 'k', ARGV[i], 's', ARGV[i + 1], 'd', ARGV[i + 2])
end
return 1
