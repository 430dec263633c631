local fs = require "fs"
local host = require "host.http"
local http = require "http"
local process = require "process"
local retry = require "retry"
local secret = require "secret"
local serve = require "rehearsal.serve"
local task = require "task"
local test = require "test"
local ca = require "rehearsal.planes.ca"
local errors = require "errors"

local T = test.cases()

local function start(handler, opts)
  local o = opts or {}
  o.handler = handler
  local server = serve.start(o)
  test.defer(function() server:stop() end)
  return server
end

--- Waits until something listens on the port.
local function listening(port)
  retry.call(function() http.get("http://127.0.0.1:" .. port .. "/", { timeout = 2 }) end, { attempts = 100, base = 0.1, cap = 0.2 })
end

T["python's http.server: a page, a list of files, a miss, a HEAD"] = function()
  local dir = test.tmpdir()
  fs.write(dir .. "/page", "hello from python")
  local port = fs.free_port()
  local p = process.start { "python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", dir, tostring(port) }
  test.defer(function() p:stop() end)
  listening(port)
  local url = "http://127.0.0.1:" .. port
  local page = http.get(url .. "/page")
  test.equal({ page.status, page.body, page.headers["content-length"], page:ok() }, { 200, "hello from python", "17", true })
  test.match(http.get(url .. "/").body, "page")
  test.equal(http.get(url .. "/none").status, 404)
  test.equal(http.request({ method = "HEAD", url = url .. "/page" }).body, "")
  test.equal(http.request({ method = "DELETE", url = url .. "/page" }).status, 501)
  http.get(url .. "/page", { to_file = dir .. "/copy" })
  test.equal(fs.read(dir .. "/copy"), "hello from python")
end

T["certificates: the right authority is accepted, all else refused"] = function()
  local dir = test.tmpdir()
  local mine, other = ca.new(dir .. "/mine"), ca.new(dir .. "/other", "another CA")
  local good = mine:issue { name = "good", names = { "localhost" }, ips = { "127.0.0.1" } }
  local wrong = mine:issue { name = "wrong.example", names = { "wrong.example" } }
  local secure = start(function(req) return { body = "hello " .. req.path } end, { cert = good.cert, key = good.key })
  local misnamed = start(function() return {} end, { cert = wrong.cert, key = wrong.key })
  test.equal(http.get(secure.url .. "/x", { ca = mine.file }).body, "hello /x")
  for _, case in ipairs { { secure.url, nil }, { secure.url, other.file }, { misnamed.url, mine.file } } do
    local e = test.raises("cannot GET https://127.0.0.1:", http.get, case[1], { ca = case[2] })
    test.equal({ e.kind, e.code, e.retry }, { "tls", "unverified", false })
  end
  test.equal(test.raises("nowhere.pem", http.get, secure.url, { ca = dir .. "/nowhere.pem" }).kind, "tls")
end

T["openssl s_server: a self-signed certificate is refused, and accepted when it is the authority"] = function()
  local dir = test.tmpdir()
  local made = process.run { "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
    "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", dir .. "/key", "-out", dir .. "/cert" }
  test.equal(made.code, 0, made.stderr)
  local port = fs.free_port()
  local p = process.start { "openssl", "s_server", "-quiet", "-www", "-accept", "127.0.0.1:" .. port, "-cert", dir .. "/cert", "-key", dir .. "/key" }
  test.defer(function() p:stop() end)
  local url = "https://127.0.0.1:" .. port .. "/"
  local answer = retry.call(function() return http.get(url, { ca = dir .. "/cert" }) end, { attempts = 100, base = 0.1, cap = 0.2 })
  test.equal(answer.status, 200)
  test.equal(test.raises("certificate", http.get, url).code, "unverified")
end

T["a GET with a body stays a GET"] = function()
  local got
  local server = start(function(req) got = req return { body = "x" } end)
  test.equal(http.request({ method = "GET", url = server.url .. "/a", body = "{}" }).body, "x")
  test.equal({ got.method, got.body }, { "GET", "{}" })
end

T["nothing listens; no such name; no such scheme"] = function()
  local e = test.raises("cannot GET http://127.0.0.1:1/x: ", http.get, "http://127.0.0.1:1/x?token=hidden")
  test.equal({ e.kind, e.code, e.retry }, { "network", "connect", true })
  e = test.raises("cannot GET http://no%-such%-host.invalid/", http.get, "http://no-such-host.invalid/", { timeout = 20 })
  test.truthy(e.kind == "network" or e.kind == "timeout", e.kind)
  test.equal(test.raises("not an http or https URL", http.get, "ftp://example.com/").kind, "invalid")
  test.equal(test.raises("is not a URL", http.get, "http://a b c:x").kind, "invalid")
  test.equal(test.raises("not a valid URL", http.get, "http://b\xffcher.test/").kind, "invalid")
  test.raises("did you mean headers", http.get, "http://127.0.0.1:1", { heders = {} })
end

T["no error shows a query, a user, a header, a body or a secret URL"] = function()
  for _, url in ipairs { "http://user:MARK@127.0.0.1:1/a?key=MARK#MARK", secret.new "http://127.0.0.1:1/MARK?MARK", "http://127.0.0.1:MARK/" } do
    local e = test.raises("cannot", http.post, url, { body = "MARK", headers = { Authorization = secret.new "Bearer MARK" } })
    test.truthy(not test.show(e):find "MARK" and not tostring(e.cause and e.cause.message):find "MARK", tostring(e))
  end
  local e = test.raises("line break", http.get, "http://127.0.0.1:1/", { headers = { ["X-A"] = secret.new "MARK\r\nX-B: 1" } })
  test.truthy(not tostring(e):find "MARK")
end

T["secrets go out as header, body and URL, and come back as a secret body"] = function()
  local seen
  local server = start(function(req) seen = req return { body = "s3cret answer" } end)
  local answer = http.post(secret.new(server.url .. "/p?k=v3ry"), {
    body = secret.new "b0dy", headers = { Authorization = secret.new "Bearer t0ken" }, secret_body = true,
  })
  test.equal({ seen.query.k, seen.body, seen.headers.authorization }, { "v3ry", "b0dy", "Bearer t0ken" })
  test.truthy(secret.is(answer.body))
  test.truthy(secret.equal(answer.body, secret.new "s3cret answer"))
end

T["JSON goes both ways; an answer that is none is a protocol error"] = function()
  local server = start(function(req)
    if req.path == "/bad" then return { body = "<html>" } end
    return { body = req.headers["content-type"] .. req.body }
  end)
  test.equal(http.post(server.url, { json = { a = 9007199254740993 } }).body, 'application/json{"a":9007199254740993}')
  test.equal(test.raises("cannot read the answer of GET http", function() return http.get(server.url .. "/bad"):json() end).kind, "protocol")
end

T["empty bodies: POST and PUT say Content-Length 0, DELETE may have a body"] = function()
  local server = start(function(req) return { body = req.method .. (req.headers["content-length"] or "-") .. (req.body or "") } end)
  test.equal(http.post(server.url).body, "POST0")
  test.equal(http.request({ method = "PUT", url = server.url }).body, "PUT0")
  test.equal(http.request({ method = "DELETE", url = server.url }).body, "DELETE-")
  test.equal(http.request({ method = "DELETE", url = server.url, body = "x" }).body, "DELETE1x")
  test.equal(http.get(server.url, { headers = { ["X-Empty"] = "" } }).body, "GET-")
end

T["redirects: not followed by default, to their end when asked, without credentials elsewhere"] = function()
  local seen
  local other = start(function(req) seen = req.headers return { body = "there" } end)
  local server = start(function(req)
    if req.path == "/loop" then return { status = 302, headers = { Location = "/loop" } } end
    if req.path == "/away" then return { status = 307, headers = { Location = other.url .. "/x" } } end
    if req.path == "/see" then return { status = 303, headers = { Location = "/here?a=1" } } end
    return { body = req.method .. req.path .. (req.headers.authorization or "") }
  end)
  local headers = { Authorization = "Bearer x", ["X-Plain"] = "p", ["X-Secret"] = secret.new "s" }
  test.equal(http.get(server.url .. "/see").status, 303)
  test.equal(http.post(server.url .. "/see", { body = "b", follow = 3, headers = headers }).body, "GET/hereBearer x")
  test.equal(http.get(server.url .. "/away", { follow = 1, headers = headers }).body, "there")
  test.equal({ seen.authorization, seen["x-plain"], seen["x-secret"] }, { nil, "p", nil })
  test.raises("more than 5 redirects", http.get, server.url .. "/loop", { follow = 5 })
end

T["64 MiB go to a file and up again in constant memory"] = function()
  local dir = test.tmpdir()
  local piece = ("0123456789abcdef"):rep(65536)
  local f = assert(io.open(dir .. "/big", "wb"))
  for _ = 1, 64 do f:write(piece) end
  f:close()
  local received
  local server = start(function(req)
    if req.method == "PUT" then received = req.body_size return { body = process.run({ "cmp", dir .. "/big", req.body_file }).code .. "" } end
    return { file = dir .. "/big" }
  end)
  local function high_water() return tonumber(fs.read "/proc/self/status":match "VmHWM:%s*(%d+)") end
  local before, last = high_water(), 0
  local answer = http.get(server.url, { to_file = dir .. "/copy", progress = function(_, got) last = got end })
  test.equal({ answer.size, answer.body, last }, { 1 << 26, nil, 1 << 26 })
  test.equal(http.request({ method = "PUT", url = server.url, body = { file = dir .. "/copy" } }).body, "0")
  test.equal(received, 1 << 26)
  test.truthy(high_water() - before < 24 * 1024, "less than 24 MiB more memory, not " .. (high_water() - before) .. " KiB")
  local url = start(function(req) return { body = req.body } end).url
  local part = http.request { method = "PUT", url = url, body = { file = dir .. "/big", offset = 14, length = 5 } }
  test.equal(part.body, "ef012")
  test.equal(#fs.list(dir), 2)
end

T["bodies go into ranges of a file, side by side, and nowhere else"] = function()
  local dir = test.tmpdir()
  local server = start(function(req)
    if req.path == "/cut" then return { body = ("x"):rep(100000), cut = 50000 } end
    return { status = tonumber(req.query.status), body = req.query.text:rep(tonumber(req.query.n or "1")) }
  end)
  local function get(query, offset, length)
    return http.get(server.url .. "/?" .. query, { to_file = { file = dir .. "/f", offset = offset, length = length } })
  end
  test.equal(test.raises("cannot write .*No such file", get, "text=a", 0, 1).kind, "io")
  fs.write(dir .. "/f", "0123456789")
  task.map({ { "b", 6, 2 }, { "a", 2, 3 }, { "c", 12, 1 } }, function(r) get(("text=%s&n=%d"):format(r[1], r[3]), r[2], r[3]) end)
  test.equal(fs.read(dir .. "/f"), "01aaa5bb89\0\0c")
  test.equal(get("text=oops&status=404", 0, 4).body, "oops")
  local e = test.raises("longer than the 3 bytes of its place in", get, "text=long", 5, 3)
  test.equal({ e.kind, fs.read(dir .. "/f"):sub(1, 9) }, { "protocol", "01aaa5bb8" })
  test.equal(test.raises("cannot GET", http.get, server.url .. "/cut", { to_file = { file = dir .. "/f", offset = 13, length = 100000 } }).kind,
             "network")
  test.equal(fs.list(dir), { "f" })
end

T["a body from a file is sent from its start again when a kept connection turns out to be dead"] = function()
  local dir = test.tmpdir()
  fs.write(dir .. "/f", ("0123456789"):rep(30000))
  local p = process.start { "python3", "-c", [[
import socket
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
def serve(c, answer):
    f = c.makefile("rb")
    n = 0
    for line in iter(f.readline, b"\r\n"):
        if line.lower().startswith(b"content-length:"): n = int(line.split(b":")[1])
    body = f.read(n)
    if answer: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return f
c, _ = s.accept()
serve(c, True)
f = c.makefile("rb")
f.read(1000)                              # the second request arrives on the same connection, which then breaks
c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
f.close(); c.close()
while True:
    c, _ = s.accept()
    serve(c, True)
]], stdout = "pipe" }
  test.defer(function() p:stop() end)
  local url = "http://127.0.0.1:" .. p:read_line() .. "/"
  local function put() return http.request { method = "PUT", url = url, body = { file = dir .. "/f", offset = 7, length = 200000 } }.body end
  local wanted = fs.read(dir .. "/f"):sub(8, 200007)
  test.truthy(put() == wanted, "the piece")
  local ok, again = pcall(put)
  test.truthy(ok and again == wanted or not ok and again.retry, tostring(again))
  test.truthy(put() == wanted, "the piece, when the caller tries again")
end

T["a thousand lines of one header are joined in order"] = function()
  local lines = {}
  for i = 1, 1000 do lines[i] = "X-Many: " .. i .. "\r\n" end
  local p = process.start { "python3", "-c", [[
import socket, sys
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
c, _ = s.accept()
c.recv(65536)
c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nx-one:  a b \r\n" + sys.argv[1].encode() + b"\r\n")
c.recv(1)
]], table.concat(lines), stdout = "pipe" }
  test.defer(function() p:stop() end)
  local headers = http.get("http://127.0.0.1:" .. p:read_line() .. "/").headers
  test.equal({ headers["x-one"], #headers.all["x-many"], headers.all["x-many"][1000] }, { "a b", 1000, "1000" })
  test.equal(headers["x-many"]:sub(1, 12) .. headers["x-many"]:sub(-10), "1, 2, 3, 4,  999, 1000")
end

--- A proxy that leads every name to one port, and writes down what it was asked.
local PROXY = [[
import socket, sys, threading
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
def pump(a, b):
    while (d := a.recv(65536)): b.sendall(d)
    b.shutdown(socket.SHUT_WR)
def serve(c):
    head = b""
    while not head.endswith(b"\r\n\r\n"): head += c.recv(1)
    line = head.split(b"\r\n")[0].decode()
    print(line, flush=True)
    plain, secure = int(sys.argv[1]), int(sys.argv[2])
    if line.startswith("CONNECT"):
        to = socket.create_connection(("127.0.0.1", secure))
        c.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    else:
        to = socket.create_connection(("127.0.0.1", plain))
        path = line.split(" ")[1].split("/", 3)[3]
        to.sendall(b"GET /" + path.encode() + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    threading.Thread(target=pump, args=(c, to), daemon=True).start()
    pump(to, c)
while True:
    c, _ = s.accept()
    threading.Thread(target=serve, args=(c,), daemon=True).start()
]]

T["proxies come from the environment; not for names in NO_PROXY, nor for this machine"] = function()
  local dir = test.tmpdir()
  local mine = ca.new(dir .. "/ca")
  local cert = mine:issue { name = "service.test", names = { "service.test" } }
  local plain = start(function(req) return { body = "plain " .. req.path } end)
  local secure = start(function(req) return { body = "secure " .. req.path } end, { cert = cert.cert, key = cert.key })
  local proxy = process.start { "python3", "-c", PROXY, tostring(plain.port), tostring(secure.port), stdout = "pipe" }
  test.defer(function() proxy:stop() end)
  local address = "http://127.0.0.1:" .. proxy:read_line()
  local function get(url, env)
    env.PATH, env.SSL_CERT_FILE = os.getenv "PATH", mine.file
    local r = process.run { "/proc/self/exe", "-e", ([[
      local ok, answer = pcall(http.get, %q, { timeout = 20 })
      io.stdout:write(ok and answer.body or answer.code)]]):format(url), env = env, timeout = 60 }
    return r.stdout
  end
  test.equal(get("https://service.test/a", { HTTPS_PROXY = address }), "secure /a")
  test.equal(proxy:read_line(), "CONNECT service.test:443 HTTP/1.1")
  for _, name in ipairs { "http_proxy", "HTTP_PROXY" } do
    test.equal(get("http://service.test/b?c=d", { [name] = address }), "plain /b")
    test.equal(proxy:read_line(), "GET http://service.test/b?c=d HTTP/1.1")
  end
  local direct = ("http://0.0.0.0:%d/direct"):format(plain.port)
  test.equal(get(direct, { HTTP_PROXY = "http://127.0.0.1:1" }), "connect")
  test.equal(get(direct, { HTTP_PROXY = "http://127.0.0.1:1", NO_PROXY = "other.test,0.0.0.0" }), "plain /direct")
  test.equal(get(plain.url .. "/own", { HTTP_PROXY = "http://127.0.0.1:1" }), "plain /own")
end

--- A SOCKS5 proxy that leads every name to one port; it takes Kerberos where it is offered, else nothing.
local SOCKS = [[
import socket, sys, threading
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
def pump(a, b):
    while (d := a.recv(65536)): b.sendall(d)
def serve(c):
    offered = c.recv(2 + 255)[2:]
    c.sendall(bytes([5, 1 if 1 in offered else 0]))
    c.recv(300)
    to = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    c.sendall(bytes([5, 0, 0, 1, 127, 0, 0, 1, 0, 1]))
    threading.Thread(target=pump, args=(c, to), daemon=True).start()
    pump(to, c)
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
]]

T["a SOCKS proxy is offered no Kerberos"] = function()
  local plain = start(function(req) return { body = "plain " .. req.path } end)
  local proxy = process.start { "python3", "-c", SOCKS, tostring(plain.port), stdout = "pipe" }
  test.defer(function() proxy:stop() end)
  local r = process.run { "/proc/self/exe", "-e", [[local _ = io.stdout:write(http.get("http://service.test/a", { timeout = 20 }).body)]],
                          env = { PATH = os.getenv "PATH", ALL_PROXY = "socks5h://127.0.0.1:" .. proxy:read_line() }, timeout = 60 }
  test.equal(r.stdout, "plain /a", r.stderr)
end

--- Answers with the version of HTTP that the request came in.
local HTTP2 = [[
const fs = require("fs"), [cert, key] = process.argv.slice(-2)
const server = require("http2").createSecureServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key), allowHTTP1: true },
  (request, response) => response.end(request.httpVersion + " " + request.url + " " + "x".repeat(200000)))
server.listen(0, "127.0.0.1", () => console.log(server.address().port))
]]

T["HTTP/2 is spoken where it is offered, many requests on one connection"] = function()
  local mine = ca.new(test.tmpdir() .. "/ca")
  local good = mine:issue { name = "good", ips = { "127.0.0.1" } }
  local server = process.start { test.tool "node", "-e", HTTP2, "--", good.cert, good.key, stdout = "pipe" }
  test.defer(function() server:stop() end)
  local url = "https://127.0.0.1:" .. server:read_line()
  local bodies = task.map({ "/a", "/b", "/c" }, function(path) return http.get(url .. path, { ca = mine.file }).body end)
  for i, path in ipairs { "/a", "/b", "/c" } do test.equal(bodies[i], "2.0 " .. path .. " " .. ("x"):rep(200000)) end
end

T["a body cut in the middle leaves no file; an error's body does not become the file"] = function()
  local dir = test.tmpdir()
  local server = start(function(req)
    if req.path == "/cut" then return { body = ("x"):rep(100000), cut = 50000 } end
    return { status = 404, body = "no such thing" }
  end)
  test.equal(test.raises("cannot GET", http.get, server.url .. "/cut", { to_file = dir .. "/f" }).kind, "network")
  local miss = http.get(server.url .. "/miss", { to_file = dir .. "/f" })
  test.equal({ miss.status, miss.body }, { 404, "no such thing" })
  test.equal(fs.list(dir), {})
  test.equal(test.raises("cannot write", http.get, server.url, { to_file = dir .. "/none/f" }).kind, "io")
  test.equal(test.raises("No such file", http.request, { method = "PUT", url = server.url, body = { file = dir .. "/none" } }).kind, "io")
end

T["100 requests side by side get each their own answer"] = function()
  local server = start(function(req) task.sleep(0.01) return { body = req.query.n } end)
  local list = {}
  for i = 1, 100 do list[i] = i end
  local bodies = task.map(list, function(i) return http.get(server.url .. "/?n=" .. i).body end, { limit = 100 })
  for i = 1, 100 do test.equal(bodies[i], tostring(i)) end
end

T["timeouts: for all of it, and for a server that stalls"] = function()
  local server = start(function(req)
    if req.path == "/never" then task.sleep(60) end
    return { stream = function(write) write "first" task.sleep(60) end }
  end)
  test.equal(test.raises("cannot GET", http.get, server.url .. "/never", { timeout = 0.1 }).kind, "timeout")
  local e = test.raises("cannot GET", http.get, server.url .. "/stall", { stall_timeout = 1, timeout = 30 })
  test.equal({ e.kind, e.retry }, { "timeout", true })
end

T["a cancel ends the wait, and the connection with it"] = function()
  local arrived, gone = false, false
  local server = start(function()
    arrived = true
    return { stream = function(write)
      local ok = pcall(function() while true do write "x" task.sleep(0.01) end end)
      gone = not ok
    end }
  end)
  local t = task.spawn(function() http.get(server.url) end)
  while not arrived do task.sleep(0.01) end
  t:cancel()
  test.equal(test.raises("cancelled", t.join, t).kind, "cancelled")
  task.within(10, "see the server notice", function() while not gone do task.sleep(0.01) end end)
end

T["a handle: closed twice, used too late, cancelled by another task"] = function()
  local server = start(function() task.sleep(60) end)
  local r = host.open("GET", server.url)
  r:limits(1, 10, 0, 1000)
  r:start()
  test.raises("running, not new", r.body, r, "x")
  test.raises("running, not done", r.result, r)
  r:cancel()
  task.await(r:id())
  local none, err = r:result()
  test.equal({ none, err.kind }, { nil, "cancelled" })
  r:close()
  r:close()
  none, err = r:result()
  test.equal({ none, err.kind }, { nil, "closed" })
  test.raises("closed, not new", r.start, r)
end

T["a reader takes the body of a 2xx answer as it comes; an error's body is kept; a cut or too long one is as ever"] = function()
  local answers = { ["/cut"] = { body = "<r>" .. ("<A>x</A>"):rep(100000) .. "</r>", cut = 300000 }, ["/miss"] = { status = 404, body = "no" },
                    ["/good"] = { body = "<r>" .. ("<A>x</A>"):rep(100000) .. "</r>" }, ["/broken"] = { body = "<r></s>" }, ["/empty"] = {} }
  local server = start(function(req) return answers[req.path] end)
  local graph = require "host.shape".graph(function(name)
    if name == "string" then return { kind = "string" } end
    if name == "list" then return { kind = "list", item = { name = "member", wire = "member", shape = "string" } } end
    return { kind = "struct", members = { { name = "A", wire = "A", shape = "list", flat = true } } }
  end)
  local function get(path, limit)
    local reader = graph:reader "Root"
    return http.get(server.url .. path, { reader = reader, limit = limit }), reader
  end
  local answer, reader = get "/good"
  test.equal({ answer.status, answer.body == reader, answer.size }, { 200, true, 800007 })
  local value, root = graph:xml("Root", answer.body)
  test.equal({ #value.A, value.A[100000], root }, { 100000, "x", "r" })
  test.equal({ get("/miss").status, get("/miss").body }, { 404, "no" })
  test.equal(test.raises("cannot GET", get, "/cut").code, "cut")
  test.equal(test.raises("larger than 1000 bytes", get, "/good", 1000).kind, "limit")
  for path, said in pairs { ["/broken"] = "mismatched tag", ["/empty"] = "no element found" } do
    local result, e = get(path).body:finish()
    test.equal({ result, e.kind }, { nil, "protocol" })
    test.match(e.message, said)
  end
end

T["an answer above the limit is refused"] = function()
  local server = start(function() return { body = ("x"):rep(2000) } end)
  test.equal(http.get(server.url, { limit = 2000 }).size, 2000)
  test.equal(test.raises("larger than 1999 bytes", http.get, server.url, { limit = 1999 }).kind, "limit")
end

T["retry: until it works, not for what cannot, as long as the other side asks"] = function()
  local calls, waits = 0, {}
  local function failing(times, fields)
    calls, waits = 0, {}
    return function()
      calls = calls + 1
      if calls <= times then
        local e = { kind = "network", message = "no" }
        for k, v in pairs(fields or {}) do e[k] = v end
        errors.raise(e)
      end
      return "yes", calls
    end
  end
  local opts = { attempts = 4, base = 0.001, on_retry = function(_, seconds) waits[#waits + 1] = seconds end }
  local yes, n = retry.call(failing(3, { retry = true }), opts)
  test.equal({ yes, n, #waits }, { "yes", 4, 3 })
  test.raises("no", retry.call, failing(4, { retry = true }), opts)
  test.equal(calls, 4)
  test.raises("no", retry.call, failing(1), opts)
  test.equal(calls, 1)
  retry.call(failing(1, { retry = true, retry_after = 0.05 }), opts)
  test.truthy(waits[1] >= 0.05, "waits at least as long as asked")
  test.raises("no", retry.call, failing(1, { retry = true, retry_after = 1000 }), opts)
  test.equal(retry.call(failing(1), { base = 0.001, retryable = function(e) return e.kind == "network" end }), "yes")
  test.raises("cancelled", retry.call, failing(1, { kind = "cancelled", message = "cancelled", retry = true }), opts)
end

--- curl may read a whole answer while its timer runs, before libuv waits: the wait must not begin then.
T["an answer that comes while curl's timer runs does not wait for the next event"] = function()
  local p = process.start { "/proc/self/exe", "-e", [[
    local server = require "rehearsal.serve".start { handler = function() return { body = "x" } end }
    io.stdout:write(server.url, "\n") io.stdout:flush() task.sleep(60)]], stdout = "pipe" }
  test.defer(function() p:stop() end)
  local url = p:read_line() .. "/"
  for i = 1, 150 do
    test.equal(task.within(20, "get answer " .. i, http.get, url, { timeout = 0 }).body, "x")
  end
end

T["a request that was never sent leaves no file"] = function()
  local dir = test.tmpdir()
  local request = require "host.http".open("GET", "http://127.0.0.1:1/")
  test.equal(request:to_file(dir .. "/out"), true)
  request:close()
  test.equal(fs.list(dir), {})
end

return T
