-- SPDX-License-Identifier: MIT
-- For wrk: a body to upload where BENCH_UPLOAD is its size, and the result as one line of JSON.
local upload = os.getenv("BENCH_UPLOAD")
if upload then
   wrk.method = "POST"
   wrk.body = string.rep("x", tonumber(upload))
end

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format(
      '{"requests": %d, "seconds": %f, "errors": {"connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}, ' ..
      '"p50_ms": %f, "p99_ms": %f}\n',
      summary.requests, summary.duration / 1e6, e.connect, e.read, e.write, e.timeout, e.status,
      latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
