-- SPDX-License-Identifier: MIT
-- For wrk: BENCH_UPLOAD, the size of a body to send; BENCH_PIPELINE, how many requests at once; and the result as one
-- line of JSON.
local upload = os.getenv("BENCH_UPLOAD")
local pipeline = os.getenv("BENCH_PIPELINE")
if upload then
   wrk.method = "POST"
   wrk.body = string.rep("x", tonumber(upload))
end

if pipeline then
   local requests

   function init()
      requests = string.rep(wrk.format(), tonumber(pipeline))
   end

   function request()
      return requests
   end
end

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format(
      '{"requests": %d, "seconds": %f, "errors": {"connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}, ' ..
      '"p50_ms": %f, "p99_ms": %f}\n',
      summary.requests, summary.duration / 1e6, e.connect, e.read, e.write, e.timeout, e.status,
      latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
