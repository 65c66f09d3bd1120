-- For wrk: POST /add with a body of its own in each request. Each thread writes the indices that it was answered into a file of its own,
-- and whatever was no index into another; `bench/foreign.sh` counts both.
local threads = 0

function setup(thread)
   thread:set("number", threads)
   threads = threads + 1
end

function init(arguments)
   local dir = os.getenv("TALLY_FOREIGN")
   indices = assert(io.open(dir .. "/indices-" .. number, "w"))
   refused = assert(io.open(dir .. "/refused-" .. number, "w"))
   indices:setvbuf("full", 1048576)
   refused:setvbuf("no")
   filler = string.rep("x", 1000)
   count = 0
end

function request()
   count = count + 1
   return wrk.format("POST", "/add", nil, number .. " " .. count .. " " .. filler)
end

function response(status, headers, body)
   if status == 200 and string.match(body, "^%d+$") then
      indices:write(body, "\n")
   else
      refused:write(status, " ", body, "\n")
   end
end

-- Runs in a Lua state of its own: what threads have buffered is written when wrk ends them.
function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format("errors: %d connect, %d read, %d write, %d timeout, %d status\n",
      errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
