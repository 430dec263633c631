local test = require "test"
local zip = require "zip"
local fs = require "fs"
local secret = require "secret"
local process = require "process"
local task = require "task"

local T = test.cases()

--- A tar as a stranger could have written it: { name, type, link, data, mode }.
local function tar(entries)
  local out = {}
  for _, e in ipairs(entries) do
    local data = e.data or ""
    local head = table.concat {
      e.name .. ("\0"):rep(100 - #e.name), ("%07o\0"):format(e.mode or 420), "0000000\0", "0000000\0", ("%011o\0"):format(#data),
      "00000000000\0", (" "):rep(8), e.type or "0", (e.link or "") .. ("\0"):rep(100 - #(e.link or "")), "ustar\00000", ("\0"):rep(247),
    }
    local sum = 0
    for i = 1, #head do sum = sum + head:byte(i) end
    out[#out + 1] = head:sub(1, 148) .. ("%06o\0 "):format(sum) .. head:sub(157) .. data .. ("\0"):rep(-#data % 512)
  end
  return table.concat(out) .. ("\0"):rep(1024)
end

local files = {
  { path = "app/server.js", data = "console.log(1)\n" }, { path = "Procfile", data = "web: node app/server.js\n" },
  { path = "bin/start", data = "#!/bin/sh\n", mode = tonumber("755", 8) }, { path = "empty", data = "" },
  { path = "ünïcode/日本.txt", data = "x" }, { path = "zeros", data = ("\0"):rep(300000) },
}

T["what is packed is unpacked, in both formats, with modes and names"] = function()
  for _, format in ipairs { "zip", "tar.gz" } do
    local dir = test.tmpdir()
    local bytes = zip.pack(files, { format = format })
    test.equal(bytes:sub(1, 2), format == "zip" and "PK" or "\x1f\x8b")
    test.truthy(#bytes < 5000, "it is compressed")
    local r = zip.unpack(bytes, dir .. "/new")
    test.equal(r.files, #files)
    for _, f in ipairs(files) do test.equal(fs.read(dir .. "/new/" .. f.path), f.data, format .. " " .. f.path) end
    test.equal(fs.stat(dir .. "/new/bin/start").mode & 511, tonumber("755", 8))
    test.equal(fs.stat(dir .. "/new/Procfile").mode & 511, tonumber("644", 8))
    local names = {}
    for i, e in ipairs(zip.list(bytes)) do names[i] = e.path .. " " .. e.type .. " " .. e.size end
    test.equal(names, { "Procfile file 24", "app/server.js file 15", "bin/start file 10", "empty file 0", "zeros file 300000",
                        "ünïcode/日本.txt file 1" })
  end
end

T["equal content gives equal bytes, whatever the order, the times and the time zone"] = function()
  local a, b = test.tmpdir(), test.tmpdir()
  for i = #files, 1, -1 do
    for dir, at in pairs { [a] = i, [b] = #files + 1 - i } do
      fs.mkdir_p(dir .. "/" .. (files[at].path:match "^(.*)/" or ""))
      fs.write(dir .. "/" .. files[at].path, files[at].data, files[at].mode or tonumber("644", 8))
    end
  end
  process.run { "touch", "-d", "2001-01-01", a .. "/Procfile" }
  for _, format in ipairs { "zip", "tar.gz" } do
    local one = zip.pack(a, { format = format })
    test.truthy(one == zip.pack(b, { format = format }), format .. " of two folders")
    test.truthy(one == zip.pack(files, { format = format }), format .. " of a list")
  end
end

T["other programs read what we write"] = function()
  local dir = test.tmpdir()
  test.equal(zip.pack(files, { to = dir .. "/a.tar.gz", format = "tar.gz" }), fs.stat(dir .. "/a.tar.gz").size)
  test.equal(fs.exists(dir .. "/a.tar.gz.part"), false)
  local r = process.run { "tar", "-tzvf", dir .. "/a.tar.gz" }
  test.equal({ r.code, r.stderr }, { 0, "" })
  test.match(r.stdout, "%-rwxr%-xr%-x 0/0 +10 1980%-01%-01 00:00 bin/start")
  test.equal(process.run { "tar", "-xzOf", dir .. "/a.tar.gz", "Procfile" }.stdout, files[2].data)
end

T["ignore patterns are those of .gitignore"] = function()
  local dir = test.tmpdir()
  for _, path in ipairs { "a.js", "a.log", "keep.log", "node_modules/x/i.js", "src/node_modules/y", "tmp/a", "src/tmp/b",
    "docs/a.md", "src/docs/b.md",
                          "deep/a/b/c.bak", ".env", ".git/HEAD" } do
    fs.mkdir_p(dir .. "/" .. (path:match "^(.*)/" or ""))
    fs.write(dir .. "/" .. path, "x")
  end
  fs.mkdir_p(dir .. "/void/inner")
  local out = {}
  local archive = zip.pack(dir, { ignore = { "*.log", "!keep.log", "node_modules/", "/tmp", "docs/*.md", "**/c.bak", ".env", ".git" } })
  for i, e in ipairs(zip.list(archive)) do out[i] = e.path end
  test.equal(out, { "a.js", "keep.log", "src/docs/b.md", "src/tmp/b", "void/inner/" })
end

T["links stay links, and those that lead out are refused"] = function()
  local dir = test.tmpdir()
  fs.mkdir_p(dir .. "/in/bin")
  fs.write(dir .. "/in/run", "r")
  fs.symlink("../run", dir .. "/in/bin/go")
  for _, format in ipairs { "zip", "tar.gz" } do
    zip.unpack(zip.pack(dir .. "/in", { format = format }), dir .. "/" .. format)
    test.equal(fs.read(dir .. "/" .. format .. "/bin/go"), "r")
    test.equal(zip.list(zip.pack(dir .. "/in", { format = format }))[1].link, "../run")
  end
  fs.symlink("../../etc", dir .. "/in/bin/out")
  test.raises("bin/out points out of the folder", zip.pack, dir .. "/in")
end

T["an archive cannot write outside of its folder"] = function()
  local dir = test.tmpdir()
  fs.write(dir .. "/victim", "safe")
  for what, entries in pairs {
    ["dots"] = { { name = "../victim", data = "evil" } },
    ["dots inside"] = { { name = "a/../../victim", data = "evil" } },
    ["absolute"] = { { name = dir .. "/victim", data = "evil" } },
    ["link out"] = { { name = "l", type = "2", link = ".." }, { name = "l/victim", data = "evil" } },
    ["absolute link"] = { { name = "l", type = "2", link = dir }, { name = "l/victim", data = "evil" } },
    ["link by a link"] = { { name = "d/", type = "5" }, { name = "d/l", type = "2", link = ".." }, { name = "m", type = "2", link = "d/l/.." } },
    ["hard link"] = { { name = "h", type = "1", link = "../victim" }, { name = "h", data = "evil" } },
    ["hard link, absolute"] = { { name = "h", type = "1", link = dir .. "/victim" } },
    ["device"] = { { name = "null", type = "3" } },
    ["fifo"] = { { name = "p", type = "6" } },
  } do
    local e = test.raises("leads out of the folder", function()
      local ok, err = pcall(zip.unpack, tar(entries), dir .. "/box")
      if ok then error "it was unpacked" end
      if what == "device" or what == "fifo" then test.match(tostring(err), "is a device") error "leads out of the folder" end
      error(err, 0)
    end)
    test.truthy(e, what)
    test.equal(fs.read(dir .. "/victim"), "safe", what)
    fs.rmtree(dir .. "/box")
  end
end

T["nothing is written through a link inside of the folder either"] = function()
  local dir = test.tmpdir()
  test.raises("symlink", zip.unpack, tar { { name = "real/", type = "5", mode = 493 }, { name = "l", type = "2", link = "real" },
    { name = "l/x", data = "1" } }, dir)
  fs.mkdir_p(dir .. "/box")
  fs.symlink(dir, dir .. "/box/l")
  test.raises("symlink", zip.unpack, tar { { name = "l/x", data = "1" } }, dir .. "/box")
  test.equal(fs.exists(dir .. "/x"), false)
  fs.write(dir .. "/victim", "safe")
  fs.symlink("../victim", dir .. "/box/f")
  zip.unpack(tar { { name = "f", data = "new" } }, dir .. "/box")
  test.equal({ fs.read(dir .. "/victim"), fs.read(dir .. "/box/f") }, { "safe", "new" })
end

T["links that lead out can be skipped, and are named"] = function()
  local dir = test.tmpdir()
  local r = zip.unpack(tar { { name = "l", type = "2", link = "/app/x" }, { name = "a", data = "1" } }, dir, { links = "skip" })
  test.equal({ r.files, r.skipped[1].path, r.skipped[1].link }, { 1, "l", "/app/x" })
  test.equal(fs.exists(dir .. "/l"), false)
end

T["strip takes names off, set-user-id is dropped, unreadable modes are mended"] = function()
  local dir = test.tmpdir()
  zip.unpack(tar { { name = "./", type = "5" }, { name = "./app/", type = "5", mode = 0 },
    { name = "./app/a", data = "1", mode = tonumber("4755", 8) },
    { name = "app/b", data = "2", mode = 0 } }, dir, { strip = 1 })
  test.equal(fs.stat(dir .. "/a").mode & 4095, tonumber("755", 8))
  test.equal(fs.read(dir .. "/b"), "2")
  test.equal(fs.exists(dir .. "/app"), false)
end

T["limits stop bombs"] = function()
  local bytes = zip.pack { { path = "a", data = ("\0"):rep(1 << 20) } }
  test.equal(test.raises("more than 1000 bytes", zip.unpack, bytes, test.tmpdir(), { limit = 1000 }).kind, "limit")
  test.equal(test.raises("more than 1000 bytes", zip.inflate, zip.deflate(("\0"):rep(100000)), 1000).kind, "limit")
end

T["gzip goes both ways, and gzip itself agrees"] = function()
  for _, s in ipairs { "", "a", ("abc\0"):rep(50000), "\x1f\x8b" } do
    local packed = zip.deflate(s)
    test.equal(packed:sub(1, 8), "\x1f\x8b\8\0\0\0\0\0")
    test.truthy(zip.inflate(packed) == s)
    test.truthy(process.run { "gzip", "-dc", stdin = packed }.stdout == s)
  end
  test.truthy(zip.inflate(process.run { "gzip", "-c", stdin = "hello" }.stdout) == "hello")
  local packed = zip.deflate(("abc"):rep(1000))
  for _, bad in ipairs { "", "hello", packed:sub(1, 20), "PK\3\4" } do test.raises("cannot decompress", zip.inflate, bad) end
end

T["what is not an archive, or not there, is said so"] = function()
  local dir = test.tmpdir()
  fs.write(dir .. "/x", "hello, not an archive")
  test.equal(test.raises("not a readable archive", zip.unpack, dir .. "/x", dir .. "/o").kind, "invalid")
  test.equal(test.raises("no such file", zip.list, dir .. "/none").kind, "not_found")
  test.raises("not a readable archive", zip.list, zip.pack(files):sub(1, 100))
  test.equal(test.raises("No such file", zip.pack, dir .. "/none").kind, "not_found")
  test.raises("No such file", zip.pack, { { path = "a", file = dir .. "/none" } })
  test.raises("No such file", zip.pack, files, { to = dir .. "/no/a.zip" })
end

T["paths that unpack would refuse are not packed"] = function()
  for _, path in ipairs { "/a", "../a", "a/../b", "", "a//b", "./a", "a/", ".." } do
    test.raises("not a path inside", zip.pack, { { path = path, data = "x" } })
  end
  test.raises("stands twice", zip.pack, { { path = "a", data = "x" }, { path = "a", data = "y" } })
  test.raises("NUL", zip.pack, { { path = "a\0b", data = "x" } })
  test.raises("needs data or file", zip.pack, { { path = "a" } })
  test.raises("no path", zip.pack, { { data = "" } })
  test.raises("did you mean format", zip.pack, {}, { fromat = "zip" })
end

T["a full disk is said, and nothing is left behind"] = function()
  if not fs.exists "/dev/full" then error "this system has no /dev/full" end
  local dir = test.tmpdir()
  fs.symlink("/dev/full", dir .. "/a.zip.part")
  local e = test.raises("No space left", zip.pack, { { path = "a", data = require "sign".random(1 << 20) } }, { to = dir .. "/a.zip" })
  test.equal(e.kind, "io")
  test.equal(#fs.list(dir), 0)
end

T["a secret does not go into an archive"] = function()
  test.raises("secret", zip.pack, { { path = ".env", data = secret.new "x" } })
  test.raises("string expected", zip.deflate, secret.new "x")
end

T["packing is cancelled with its task, and leaves no file"] = function()
  local dir = test.tmpdir()
  test.equal(process.run({ "truncate", "-s", "8G", dir .. "/holes" }).code, 0)      -- a minute of work that is no byte on disk
  local out, open = test.tmpdir(), #fs.list "/proc/self/fd"
  local t = task.spawn(function() return zip.pack(dir, { to = out .. "/a.zip" }) end)
  while not fs.exists(out .. "/a.zip.part") do task.sleep(0.002) end
  t:cancel()
  test.raises("cancelled", t.join, t)
  for _ = 1, 500 do                                   -- the worker sees it at its next block
    if #fs.list "/proc/self/fd" == open then break end
    task.sleep(0.01)
  end
  test.equal(#fs.list(out), 0)
end

return T
