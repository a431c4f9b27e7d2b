-- Gives or renews the lease of a key. KEYS: the lease, its last number. ARGV: node, number of a renewal or 0, ms.
-- A number is the server's time in microseconds, or more than the last: it grows even after the server forgot.
local held = redis.call('GET', KEYS[1])
if ARGV[2] ~= '0' and held == ARGV[1] .. ' ' .. ARGV[2] then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return { 1, ARGV[2], 0 }
end
if held then return { 0, string.match(held, ' (%d+)$') or '0', redis.call('PTTL', KEYS[1]) } end
if ARGV[2] ~= '0' then return { 0, '0', 0 } end
local time = redis.call('TIME')
local fence = math.max(tonumber(time[1]) * 1000000 + tonumber(time[2]), tonumber(redis.call('GET', KEYS[2]) or 0) + 1)
fence = string.format('%.0f', fence)
redis.call('SET', KEYS[2], fence, 'PX', 600000)
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. fence, 'PX', ARGV[3])
return { 1, fence, 0 }
