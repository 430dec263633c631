local errors = require "errors"
local fs = require "fs"
local http = require "http"
local process = require "process"
local secret = require "secret"
local serve = require "rehearsal.serve"
local task = require "task"
local test = require "test"

local T = test.cases()

local function start(opts)
  if type(opts) == "function" then opts = { handler = opts } end
  local server = serve.start(opts)
  test.defer(function() server:stop() end)
  return server
end

local function curl(...)
  return process.run { "curl", "-sS", "--max-time", "20", ... }
end

T["a request arrives as it was sent, and the answer goes back"] = function()
  local seen
  local server = start(function(req)
    seen = req
    return { status = 201, headers = { ["X-Two"] = { "a", "b" } }, body = "made" }
  end)
  local answer = http.request { method = "PUT", url = server.url .. "/a%20b/%2Fc?x=1&y=a%26b+c&x=2", body = "hello",
    headers = { ["X-Id"] = "7" } }
  test.equal(answer.status, 201)
  test.equal(answer.body, "made")
  test.equal(answer.headers["x-two"], "a, b")
  test.equal(answer.headers.all["x-two"], { "a", "b" })
  test.equal(seen.method, "PUT")
  test.equal(seen.path, "/a b//c")
  test.equal(seen.raw_path, "/a%20b/%2Fc")
  test.equal(seen.raw_query, "x=1&y=a%26b+c&x=2")
  test.equal(seen.query, { x = "2", y = "a&b c" })
  test.equal(seen.query_list, { { "x", "1" }, { "y", "a&b c" }, { "x", "2" } })
  test.equal(seen.headers["x-id"], "7")
  test.equal(seen.headers["content-type"], nil)
  test.equal(seen.body, "hello")
  test.match(seen.peer, "^127%.0%.0%.1:%d+$")
end

T["the curl program gets answers, a HEAD without a body, and keeps its connection"] = function()
  local server = start(function(req) return { body = req.method .. " " .. req.path } end)
  test.equal(curl(server.url .. "/x").stdout, "GET /x")
  local head = curl("-I", server.url .. "/xyz").stdout
  test.match(head, "^HTTP/1.1 200 OK\r\n")
  test.match(head, "Content%-Length: 9\r\n")
  local two = curl("-v", server.url .. "/1", server.url .. "/2")
  test.equal(two.stdout, "GET /1GET /2")
  test.match(two.stderr, "Re%-using existing connection")
end

T["a HEAD can state the length of a body that is not there"] = function()
  local server = start(function() return { headers = { ["Content-Length"] = 123456789 } } end)
  local answer = http.request { method = "HEAD", url = server.url }
  test.equal(answer.headers["content-length"], "123456789")
  test.equal(answer.body, "")
end

T["curl's chunked upload and its Expect: 100-continue are understood"] = function()
  local dir = test.tmpdir()
  local body = ("0123456789"):rep(200000)
  fs.write(dir .. "/body", body)
  local got, size
  local server = start(function(req)
    got, size = req.body_file and fs.read(req.body_file) or req.body, req.body_size
    return { body = "got " .. req.body_size }
  end)
  local plain = curl("-v", "-H", "Expect: 100-continue", "-T", dir .. "/body", server.url)
  test.equal(plain.stdout, "got 2000000")
  test.match(plain.stderr, "HTTP/1.1 100 Continue")
  test.truthy(got == body, "the same bytes")
  got = nil
  test.equal(curl("-H", "Transfer-Encoding: chunked", "-T", dir .. "/body", server.url).stdout, "got 2000000")
  test.truthy(got == body and size == #body, "the same bytes again")
end

T["a large body is in a file while the handler works, and gone afterwards"] = function()
  local dir = test.tmpdir()
  local inside, body
  local server = start { tmpdir = dir, memory_limit = 1000, handler = function(req)
    inside, body = fs.list(dir), req.body
    test.equal(#fs.read(req.body_file), 1001)
    return {}
  end }
  test.equal(http.post(server.url, { body = ("x"):rep(1001) }).status, 200)
  test.equal(#inside, 1)
  test.equal(body, nil)
  server:stop()
  test.equal(fs.list(dir), {})
end

T["a body above the limit is answered 413 and never reaches the handler"] = function()
  local called = 0
  local server = start { size_limit = 1000, handler = function() called = called + 1 return {} end }
  test.equal(http.post(server.url, { body = ("x"):rep(1000) }).status, 200)
  test.equal(http.post(server.url, { body = ("x"):rep(1001) }).status, 413)
  test.equal(curl("-o", "/dev/null", "-w", "%{http_code}", "-H", "Transfer-Encoding: chunked", "-d", ("x"):rep(1001), server.url).stdout, "413")
  test.equal(called, 1)
end

T["a handler that raises is a 500 without its message; the server goes on"] = function()
  local server = start(function(req)
    if req.path == "/bad" then errors.raise { kind = "bug", message = "a private matter" } end
    return { body = "fine" }
  end)
  local answer = http.get(server.url .. "/bad")
  test.equal(answer.status, 500)
  test.equal(answer.body, "the handler failed\n")
  test.equal(http.get(server.url).body, "fine")
end

T["a header that cannot be sent is the handler's mistake"] = function()
  local server = start(function() return { headers = { ["X-A"] = "a\r\nSet-Cookie: x" } } end)
  local answer = http.get(server.url)
  test.equal(answer.status, 500)
  test.equal(answer.headers["set-cookie"], nil)
end

T["a secret is sent as it is"] = function()
  local server = start(function() return { body = secret.new "s3cret", headers = { ["X-Token"] = secret.new "t0ken" } } end)
  local answer = http.get(server.url)
  test.equal(answer.body, "s3cret")
  test.equal(answer.headers["x-token"], "t0ken")
end

T["a file is sent whole, in part, and not past its end"] = function()
  local dir = test.tmpdir()
  fs.write(dir .. "/f", "0123456789")
  local server = start(function(req)
    return { file = dir .. "/f", offset = math.tointeger(req.query.from), length = math.tointeger(req.query.n) }
  end)
  test.equal(http.get(server.url).body, "0123456789")
  test.equal(http.get(server.url .. "?from=3&n=4").body, "3456")
  test.equal(http.get(server.url .. "?from=8&n=4").status, 500)
end

T["a streamed answer arrives piece by piece, while its writer waits for a slow reader"] = function()
  local piece = ("y"):rep(100000)
  local server = start(function()
    return { stream = function(write)
      for _ = 1, 50 do write(piece) end
      task.sleep(0.01)
      write "end"
    end }
  end)
  local answer = http.get(server.url)
  test.equal(answer.headers["transfer-encoding"], "chunked")
  test.truthy(answer.body == piece:rep(50) .. "end", "all pieces")
end

T["the writer of a stream learns that its reader went away"] = function()
  local outcome
  local server = start(function()
    return { stream = function(write)
      local ok, err = pcall(function() while true do write(("z"):rep(50000)) task.sleep(0.01) end end)
      outcome = not ok and err
      error(err, 0)
    end }
  end)
  test.raises("larger than 100000 bytes", http.get, server.url, { limit = 100000 })
  task.within(10, "see the writer end", function() while not outcome do task.sleep(0.01) end end)
  test.equal(outcome.kind, "network")
end

T["faults: a dropped connection, a delay, a body cut in the middle"] = function()
  local server = start(function(req)
    if req.path == "/drop" then return { drop = true } end
    if req.path == "/slow" then return { delay = 5, body = "late" } end
    return { cut = 3, body = "0123456789" }
  end)
  test.equal(test.raises("cannot GET http://127", http.get, server.url .. "/drop").kind, "network")
  test.equal(test.raises("cannot GET", http.get, server.url .. "/slow", { timeout = 0.2 }).kind, "timeout")
  local e = test.raises("cannot GET", http.get, server.url .. "/cut")
  test.equal(e.kind, "network")
  test.equal(e.retry, true)
  test.equal(curl(server.url .. "/drop").code, 52)
  test.equal(curl(server.url .. "/cut").code, 18)
end

T["stopping cuts those who wait, ends the handlers, and can be done twice"] = function()
  local begun, ended = 0, 0
  local server = start(function()
    begun = begun + 1
    local _ <close> = setmetatable({}, { __close = function() ended = ended + 1 end })
    task.sleep(60)
  end)
  local results = task.all {
    stop = function()
      while begun < 2 do task.sleep(0.01) end
      server:stop()
      server:stop()
    end,
    a = function() return test.raises("cannot GET", http.get, server.url .. "/a").kind end,
    b = function() return test.raises("cannot GET", http.get, server.url .. "/b").kind end,
  }
  test.equal(results, { a = "network", b = "network" })
  test.equal(ended, 2)
  test.equal(test.raises("cannot GET", http.get, server.url).kind, "network")
end

T["a closed server and a closed exchange answer with errors"] = function()
  local host = require "host.serve"
  local listener = host.open("127.0.0.1", 0, "/tmp", 1000, 1000)
  listener:close()
  listener:close()
  local none, err = listener:accept()
  test.equal(none, nil)
  test.equal(err.kind, "closed")
  test.raises("cannot listen on 198.51.100.1 port 0", errors.check, "listen", host.open("198.51.100.1", 0, "/tmp", 1, 1))
end

T["a port that is taken is an error that names it"] = function()
  local server = start(function() return {} end)
  local e = test.raises("cannot serve on 127.0.0.1: cannot listen on 127.0.0.1 port " .. server.port, serve.start,
    { port = server.port, handler = print })
  test.equal(e.kind, "network")
end

T["a certificate that is none is refused, and nothing stays open"] = function()
  local host = require "host.serve"
  local none, err = host.open("127.0.0.1", 0, "/tmp", 1, 1, "no certificate", "no key")
  test.equal(none, nil)
  test.equal(err.kind, "tls")
end

T["requests one after the other share a connection"] = function()
  local peers = {}
  local server = start(function(req) peers[req.peer] = true return { json = { ok = true } } end)
  for _ = 1, 20 do test.equal(http.get(server.url):json(), { ok = true }) end
  local count = 0
  for _ in pairs(peers) do count = count + 1 end
  test.equal(count, 1)
end

return T
