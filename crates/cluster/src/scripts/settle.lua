-- `charge` of src/share.rs, on the server's clock, in microseconds. KEYS: buckets. ARGV: full, spent, believed of each.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local missing = {}
for i, key in ipairs(KEYS) do
  local full, spent, believed = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local full_at = tonumber(redis.call('GET', key) or now + believed)
  full_at = math.min(math.max(full_at, now), now + 2 * full) + spent
  local left = full_at - now
  if left > 0 then
    redis.call('SET', key, string.format('%.0f', full_at), 'PX', math.ceil(left / 1000))
  end
  missing[i] = left
end
return missing
