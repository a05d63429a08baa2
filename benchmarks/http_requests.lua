-- The requests that wrk sends, and what it found, one "name value" a line.
--
-- wrk -s http_requests.lua URL -- METHOD BODY HEAD PIPELINE
--   BODY      the body, or "-" for none; text/plain unless wrk's -H says otherwise
--   HEAD      "same": every request is the same bytes; "differing": an X-Request-Id
--             of 16 digits, never the same twice
--   PIPELINE  how many requests go out at once

local serial = 0

function init(args)
  local method, body, head, pipeline = args[1], args[2], args[3], tonumber(args[4])
  wrk.method = method
  if body ~= "-" then
    wrk.body = body
    wrk.headers["Content-Type"] = wrk.headers["Content-Type"] or "text/plain"
  end
  if head == "same" then
    if pipeline > 1 then
      local block = string.rep(wrk.format(), pipeline)
      request = function() return block end
    end
    return
  end
  wrk.headers["X-Request-Id"] = "0000000000000000"
  local whole = wrk.format()
  local first, last = whole:find("0000000000000000", 1, true)
  local before, after = whole:sub(1, first - 1), whole:sub(last + 1)
  -- Clients that start later must not repeat the numbers of earlier ones.
  serial = os.time() % 1000000 * 1000000000
  request = function()
    serial = serial + 1
    return before .. string.format("%016.0f", serial) .. after
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  local found = {
    requests = summary.requests,
    microseconds = summary.duration,
    bytes = summary.bytes,
    connect_errors = errors.connect,
    read_errors = errors.read,
    write_errors = errors.write,
    timeouts = errors.timeout,
    bad_statuses = errors.status,
    p50_us = latency:percentile(50),
    p75_us = latency:percentile(75),
    p90_us = latency:percentile(90),
    p95_us = latency:percentile(95),
    p99_5_us = latency:percentile(99.5),
    p99_9_us = latency:percentile(99.9),
    p99_us = latency:percentile(99),
    max_us = latency.max,
  }
  for name, value in pairs(found) do
    io.write(string.format("%s %.0f\n", name, value))
  end
end
