-- Prints what wrk counted as one line of JSON.
function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        '\n{"requests": %d, "microseconds": %d, "bytes": %d, "p99_us": %d, "failed": %d}\n',
        summary.requests, summary.duration, summary.bytes, latency:percentile(99),
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
