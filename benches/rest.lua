-- Each connection rests at random between two requests, for so many milliseconds on average: requests then come
-- one by one, and not as fast as answers do.
dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "report.lua")

local threads, rest = 0

-- Each thread of wrk has its own chance.
function setup(thread)
    threads = threads + 1
    thread:set("seed", threads)
end

function init(arguments)
    rest = tonumber(arguments[1])
    math.randomseed(seed)
end

function delay()
    return math.random(0, 2 * rest)
end
