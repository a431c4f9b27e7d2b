-- Asks for each document of a numbered list once, and ends wrk when all are answered. For one thread of wrk.
local ffi = require("ffi")
ffi.cdef("typedef struct { long seconds, nanoseconds; } instant; int clock_gettime(int clock, instant *now);")

local MONOTONIC, FOR_EVER = 1, 86400000
local path, documents, granted, asked, answered, failed, started

local function now()
    local instant = ffi.new("instant")
    ffi.C.clock_gettime(MONOTONIC, instant)
    return tonumber(instant.seconds) + tonumber(instant.nanoseconds) / 1e9
end

function init(arguments)
    path, documents = arguments[1], tonumber(arguments[2])
    -- wrk asks for one request that it does not send.
    granted, asked, answered, failed = 0, -1, 0, 0
end

function request()
    asked = asked + 1
    started = asked <= 1 and now() or started
    return wrk.format("GET", string.format(path, asked))
end

-- wrk calls this before each request that it sends.
function delay()
    if granted == documents then
        return FOR_EVER
    end
    granted = granted + 1
    return 0
end

function response(status)
    answered = answered + 1
    failed = failed + (status == 200 and 0 or 1)
    if answered == documents then
        io.write(string.format('\n{"seconds": %.6f, "failed": %d}\n', now() - started, failed))
        os.exit(0)
    end
end
