-- The decision of src/pool.rs, on the server's clock. KEYS: the pool. ARGV: one call.
local limit, nodes, term = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local node, turn, expected = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local claim, want = tonumber(ARGV[7]), tonumber(ARGV[8])
local young, void, frees = ARGV[9] == '1', ARGV[10] == '1', tonumber(ARGV[11])
local LATE, GAP, SILENT, MARGIN = 1000, 3000, 3000, 4000
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if not expected or math.abs(expected - now) > LATE then return { now } end
local engine = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') .. '.'
  .. string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
local share = math.floor(limit / nodes)

local stored = redis.call('GET', KEYS[1])
local pool = stored and cjson.decode(stored)
if not pool or void or pool.engine ~= engine or now < pool.last or now - pool.last > GAP then
  local memory = table.concat({ engine, now, node, turn }, ':')
  pool = { engine = engine, memory = memory, opens = now + term + MARGIN, members = {} }
end
local members = pool.members
if members[node] and members[node].turn >= turn then return { now } end
pool.last = now
for name, member in pairs(members) do
  if member.till + MARGIN <= now then members[name] = nil end
end
members[node] = {
  turn = turn, nodes = nodes, till = now + term, seen = now, held = claim, want = want, young = young, out = false,
  frees = frees and now + frees
}

-- While nodes disagree on their number, the largest counts. A record of an earlier version has none.
local most = nodes
for _, member in pairs(members) do
  member.nodes = member.nodes or nodes
  most = math.max(most, member.nodes)
end
local function owned(member) return math.floor(limit / member.nodes) end
local function shares(speaking)
  local lending, all, borrowed = 0, 0, 0
  for _, member in pairs(members) do
    if member.out then
      borrowed = borrowed + math.max(0, member.held - (member.young and 0 or owned(member)))
    elseif not member.young and (not speaking or member.seen + SILENT >= now) then
      lending, all = lending + 1, all + owned(member)
    end
  end
  return math.max(0, (lending >= most and limit or math.min(all, limit)) - borrowed)
end

local names = {}
for name in pairs(members) do names[#names + 1] = name end
table.sort(names)
for _, name in ipairs(names) do
  local member = members[name]
  if not member.out and member.seen + SILENT < now then
    member.out = true
    local held = 0
    for _, other in pairs(members) do
      if not other.out then held = held + other.held end
    end
    if held > shares(false) then member.out = false end
  end
end

local lending, first, held_by_others, poor, wanted, wait = 0, now + term, 0, false, false, nil
for name, member in pairs(members) do
  if name ~= node and member.held > 0 then
    local comes = member.till + MARGIN
    if member.seen + SILENT >= now then comes = member.frees end
    if comes and (not wait or comes < wait) then wait = comes end
  end
  if not member.out then
    if not member.young then
      lending = lending + 1
      first = math.min(first, member.till)
    end
    if name ~= node then
      held_by_others = held_by_others + member.held
      if member.want > member.held then
        wanted = true
        if member.held < owned(member) then poor = true end
      end
    end
  end
end
if lending == 0 then first = now end
if lending >= most then pool.opens = math.min(pool.opens, now) end
local open = now >= pool.opens
-- With another number of nodes shares may have become smaller.
local lent = held_by_others + claim <= shares(false)
local room = open and math.max(0, shares(true) - held_by_others) or 0
if poor then room = math.min(room, share) end
local held = math.max(claim, math.min(want, room))
members[node].held = held
redis.call('SET', KEYS[1], cjson.encode(pool), 'PX', 2 * (term + MARGIN))
if not open then wait = pool.opens end
return {
  now, held, open and room or -1, open and lent and math.max(0, first - now) or -1, wanted and 1 or 0,
  wait and math.max(0, wait - now) or -1, pool.memory
}
