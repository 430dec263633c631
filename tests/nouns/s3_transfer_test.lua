--- Files to S3 and back: aws.s3:upload, download, copy, abort_uploads against the rehearsal's S3.
local aws = require "aws"
local cloud = require "rehearsal.cloud"
local errors = require "errors"
local fs = require "fs"
local process = require "process"
local serve = require "rehearsal.serve"
local sign = require "sign"
local task = require "task"
local test = require "test"
local T = test.cases()

local MIB <const> = 1 << 20
local PART <const> = 5 * MIB
local DENIED = { status = 403, body = "<Error><Code>AccessDenied</Code></Error>" }

--- A cloud with a bucket, a client of it, and a file of so many bytes, no two parts of which are the same.
local function lab(size, fault)
  local dir = test.tmpdir()
  local c = cloud.start { dir = fs.join(dir, "cloud") }
  test.defer(function() c:stop() end)
  local front = serve.start { tmpdir = fs.join(c.dir, "bodies"), handler = function(req)
    return fault and fault(req) or c:handle(req)
  end }
  test.defer(function() front:stop() end)
  local s3 = aws.client { service = "s3", region = "us-east-1", endpoint = front.url,
                          credentials = { access_key_id = c.access_key, secret_access_key = c.secret_key } }
  s3:create_bucket { Bucket = "shop" }
  local file = dir .. "/file"
  if size then
    local f <close> = assert(io.open(file, "wb"))
    local block = sign.random(65536)
    for offset = 0, size - 1, 65536 do f:write((("<I8"):pack(offset) .. block:sub(9)):sub(1, size - offset)) end
  end
  return { s3 = s3, cloud = c, dir = dir, file = file, url = front.url }
end

local function same(a, b) test.equal(process.run({ "cmp", a, b }).stdout, "") end

local function names(dir, keep)
  local list = {}
  for _, name in ipairs(fs.list(dir)) do if name ~= "cloud" and name ~= keep then list[#list + 1] = name end end
  return list
end

--- The operations that were asked for, as "UploadPart 7" (how often).
local function count(c, from)
  local seen = {}
  for i = from or 1, #c.calls do
    local op = c.calls[i].operation
    if op then seen[op] = (seen[op] or 0) + 1 end
  end
  return seen
end

local function unfinished(l) return #(l.s3:list_multipart_uploads({ Bucket = "shop" }).Uploads or {}) end

T["small files go in one request, large ones in parts; both come back as they were"] = function()
  local l = lab(11 * MIB + 17)
  local seen
  local up = l.s3:upload { file = l.file, to = "s3://shop/a b/", part_size = PART, parallel = 3, ContentType = "text/x-dump",
                           Metadata = { who = "me" },
                           progress = function(done, total) seen = { done, total } end }
  test.equal({ up.bucket, up.key, up.size, up.parts, up.resumed }, { "shop", "a b/file", 11 * MIB + 17, 3, 0 })
  test.equal(up.checksum, sign.base64((">I4"):pack(sign.digest_file(l.file, { "crc32" }).crc32)), "the checksum of the whole")
  test.equal(seen, { up.size, up.size })
  test.equal({ count(l.cloud).UploadPart, count(l.cloud).PutObject }, { 3, nil })
  local head = l.s3:head_object { Bucket = "shop", Key = up.key, ChecksumMode = "ENABLED" }
  test.equal({ head.ContentType, head.Metadata, head.ChecksumCRC32, head.ChecksumType },
             { "text/x-dump", { who = "me" }, up.checksum, "FULL_OBJECT" })
  local down = l.s3:download { from = "s3://shop/a b/file", file = l.dir .. "/copy", part_size = PART }
  test.equal({ down.size, down.parts, down.etag, down.file }, { up.size, 3, up.etag, l.dir .. "/copy" })
  same(l.file, l.dir .. "/copy")
  test.equal(l.s3:download { bucket = "shop", key = "a b/file", file = l.dir .. "/copy", part_size = 12 * MIB }.parts, 1)
  fs.mkdir_p(l.dir .. "/folder")
  test.equal(l.s3:download { from = "s3://shop/a b/file", file = l.dir .. "/folder" }.file, l.dir .. "/folder/file")
  fs.write(l.dir .. "/small", "hello", 416)
  local before = #l.cloud.calls + 1
  test.equal(l.s3:upload { file = l.dir .. "/small", bucket = "shop", key = "small" }.checksum, "NhCmhg==")
  test.equal(count(l.cloud, before), { PutObject = 1 })
  l.s3:download { from = "s3://shop/small", file = l.dir .. "/small" }
  test.equal({ fs.read(l.dir .. "/small"), fs.stat(l.dir .. "/small").mode }, { "hello", 416 })
  fs.write(l.dir .. "/empty", "")
  l.s3:upload { file = l.dir .. "/empty", to = "s3://shop/" }
  l.s3:download { from = "s3://shop/empty", file = l.dir .. "/none" }
  test.equal({ fs.read(l.dir .. "/none"), unfinished(l) }, { "", 0 })
  test.equal(names(l.dir), { "copy", "empty", "file", "folder", "none", "small" })
end

T["checksums composed of the parts' are sent, and checked on the way back"] = function()
  local l = lab(6 * MIB)
  local up = l.s3:upload { file = l.file, to = "s3://shop/x", part_size = PART, checksum = "SHA256" }
  test.match(up.checksum, "^[%w+/]+=%-2$")
  test.equal(l.s3:download { from = "s3://shop/x", file = l.dir .. "/copy", part_size = 6 * MIB }.parts, 2, "in the parts it was sent in")
  same(l.file, l.dir .. "/copy")
  local stored = l.cloud:store "s3".buckets.shop.objects.x
  for _, wrong in ipairs { "sums", "etag" } do
    if wrong == "sums" then stored.sums.SHA256 = stored.sums.SHA256:gsub("^.", function(c) return c == "A" and "B" or "A" end)
    else stored.sums, stored.etag = {}, '"' .. ("0"):rep(32) .. '-2"' end
    fs.write(l.dir .. "/copy", "old")
    local e = test.raises("cannot download s3://shop/x: its %w+ is", l.s3.download, l.s3, { from = "s3://shop/x", file = l.dir .. "/copy" })
    test.equal({ e.kind, fs.read(l.dir .. "/copy"), names(l.dir) }, { "protocol", "old", { "copy", "file" } })
  end
end

T["an upload that was interrupted goes on with the parts that S3 has, if they are this file's"] = function()
  local broken = true
  local l = lab(21 * MIB, function(req)
    if broken and req.query.partNumber == "4" then return DENIED end
  end)
  local spec = { file = l.file, to = "s3://shop/big", part_size = PART, parallel = 1 }
  test.raises("AccessDenied", l.s3.upload, l.s3, spec)
  test.equal(test.raises("", l.s3.head_object, l.s3, { Bucket = "shop", Key = "big" }).status, 404)
  broken = false
  local other = l.dir .. "/other"
  fs.write(other, fs.read(l.file):reverse())
  local from = #l.cloud.calls + 1
  test.equal(l.s3:upload({ file = other, to = "s3://shop/big", part_size = PART }).resumed, 0, "another file")
  test.equal(count(l.cloud, from).UploadPart, 5)
  from = #l.cloud.calls + 1
  local up = l.s3:upload(spec)
  test.equal({ up.resumed, up.parts, count(l.cloud, from).UploadPart, count(l.cloud, from).CreateMultipartUpload }, { 15 * MIB, 5, 2, nil })
  l.s3:download { from = "s3://shop/big", file = l.dir .. "/copy" }
  same(l.file, l.dir .. "/copy")
  test.equal(l.s3:abort_uploads { bucket = "shop" }, {})
end

T["a cancel ends an upload at once, and leaves what can be gone on with or thrown away"] = function()
  local waiting = 0
  local l = lab(11 * MIB, function(req)
    if tonumber(req.query.partNumber or "0") > 1 then
      waiting = waiting + 1
      task.sleep(600)
    end
  end)
  local t = task.spawn(function() l.s3:upload { file = l.file, to = "s3://shop/big", part_size = PART } end)
  task.within(120, "see the parts arrive", function()
    while waiting < 2 or not count(l.cloud).UploadPart do task.sleep(0.01) end
  end)
  t:cancel()
  test.equal(test.raises("cancelled", t.join, t).kind, "cancelled")
  test.equal(l.s3:abort_uploads { bucket = "shop", older_than = 3600 }, {})
  test.equal(l.s3:abort_uploads { bucket = "shop", key = "bi" }, {})
  test.equal(l.s3:abort_uploads({ bucket = "shop" })[1].key, "big")
  test.equal(unfinished(l), 0)
end

T["parts that are lost, refused for a while or damaged are sent again; a lost completion is found to be done"] = function()
  local seen, l = {}, nil
  l = lab(11 * MIB, function(req)
    local what = req.method .. (req.query.partNumber or "") .. (req.headers.range or "")
    if req.query.uploads then what = "create" elseif req.query.uploadId and req.method == "POST" then what = "complete" end
    seen[what] = (seen[what] or 0) + 1
    if seen[what] > 1 then return nil end
    if what == "PUT1" then return { drop = true } end
    if what == "PUT2" or what == "create" then return { status = 503, body = "<Error><Code>SlowDown</Code></Error>" } end
    if what == "complete" then
      l.cloud:handle(req)
      return { drop = true }
    end
    local first = (req.headers.range or ""):match "bytes=(%d+)"
    if first == "0" then return { status = 206, body = ("x"):rep(PART), cut = 1000 } end
    if first == tostring(PART) then return { status = 200, body = ("x"):rep(PART) } end                     -- the range was not understood
  end)
  local up = l.s3:upload { file = l.file, to = "s3://shop/x", part_size = PART }
  test.equal({ seen.PUT1, seen.PUT2, seen.PUT3, seen.complete }, { 2, 2, 1, 2 })
  test.equal(up.etag, l.s3:head_object({ Bucket = "shop", Key = "x" }).ETag)
  l.s3:download { from = "s3://shop/x", file = l.dir .. "/copy", part_size = PART }
  same(l.file, l.dir .. "/copy")
end

T["a download that was interrupted goes on with what it has; not with what was damaged, or of another object"] = function()
  local broken, gets = true, 0
  local l = lab(21 * MIB, function(req)
    if req.method == "GET" and req.headers.range then
      gets = gets + 1
      if broken and req.headers.range:find("bytes=" .. 15 * MIB, 1, true) then return DENIED end
    end
  end)
  l.s3:upload { file = l.file, to = "s3://shop/big" }
  local spec = { from = "s3://shop/big", file = l.dir .. "/copy", part_size = PART, parallel = 1 }
  local part = l.dir .. "/copy.s3-part"
  test.raises("AccessDenied", l.s3.download, l.s3, spec)
  test.equal(names(l.dir), { "copy.s3-part", "copy.s3-part.map", "file" })
  local f <close> = assert(io.open(part, "r+b"))
  f:seek("set", 6 * MIB)
  f:write "damaged"
  f:close()
  broken, gets = false, 0
  local lock = fs.lock(part)
  test.raises("another run is downloading it", l.s3.download, l.s3, spec)
  fs.unlock(lock)
  local down = l.s3:download(spec)
  test.equal({ down.resumed, gets }, { 10 * MIB, 3 })
  same(l.file, l.dir .. "/copy")
  broken = true
  test.raises("AccessDenied", l.s3.download, l.s3, spec)
  local other = fs.read(l.file):reverse()
  l.s3:put_object { Bucket = "shop", Key = "big", Body = other }
  broken = false
  test.equal(l.s3:download(spec).resumed, 0)
  test.truthy(fs.read(l.dir .. "/copy") == other, "the new object")
  test.equal(names(l.dir), { "copy", "file" })
end

T["an object that changes while it is downloaded is noticed, and the target stays as it was"] = function()
  local l
  l = lab(11 * MIB, function(req)
    if req.method == "GET" and (req.headers.range or ""):find("bytes=" .. PART, 1, true) then
      l.s3:put_object { Bucket = "shop", Key = "x", Body = "new" }
    end
  end)
  fs.write(l.dir .. "/copy", "old")
  l.s3:upload { file = l.file, to = "s3://shop/x" }
  local e = test.raises("the object changed meanwhile", l.s3.download, l.s3,
                        { from = "s3://shop/x", file = l.dir .. "/copy", part_size = PART, parallel = 1 })
  test.equal({ e.status, fs.read(l.dir .. "/copy"), names(l.dir) }, { 412, "old", { "copy", "file" } })
  e = test.raises("cannot download s3://shop/none", l.s3.download, l.s3, { from = "s3://shop/none", file = l.dir .. "/none" })
  test.equal({ e.status, names(l.dir) }, { 404, { "copy", "file" } })
end

T["a file that changes while it is uploaded is not stored"] = function()
  local l
  l = lab(11 * MIB, function(req)
    if req.query.partNumber == "3" then fs.append(l.file, "more") end
  end)
  test.raises("the file changed meanwhile", l.s3.upload, l.s3, { file = l.file, to = "s3://shop/x", part_size = PART, parallel = 1 })
  test.equal(test.raises("", l.s3.head_object, l.s3, { Bucket = "shop", Key = "x" }).status, 404)
  test.equal(unfinished(l), 0)
end

T["what a function or a process gives is stored, whatever its size; nothing when it fails"] = function()
  local l = lab(12 * MIB)
  local up = l.s3:upload { from = process.start { "cat", l.file, stdout = "pipe" }, to = "s3://shop/x", part_size = PART, StorageClass = "STANDARD" }
  test.equal({ up.size, up.parts }, { 12 * MIB, 3 })
  l.s3:download { from = "s3://shop/x", file = l.dir .. "/copy" }
  same(l.file, l.dir .. "/copy")
  local n = 0
  up = l.s3:upload { from = function() n = n + 1 return n <= 3 and ("x"):rep(n) or nil end, to = "s3://shop/y" }
  test.equal({ up.size, up.parts, l.s3:get_object({ Bucket = "shop", Key = "y" }).Body }, { 6, 1, "xxxxxx" })
  test.equal(l.s3:upload({ from = function() end, to = "s3://shop/empty" }).size, 0)
  local failing = process.start { "sh", "-c", "head -c 6000000 /dev/zero; exit 3", stdout = "pipe" }
  test.raises("it ended with code 3", l.s3.upload, l.s3, { from = failing, to = "s3://shop/z", part_size = PART })
  n = 0
  test.raises("source broke", l.s3.upload, l.s3, { from = function()
    n = n + 1
    if n == 7 then errors.raise { kind = "io", message = "the source broke" } end
    return ("x"):rep(MIB)
  end, to = "s3://shop/z", part_size = PART })
  test.equal(test.raises("", l.s3.head_object, l.s3, { Bucket = "shop", Key = "z" }).status, 404)
  test.equal(unfinished(l), 0)
end

T["objects are copied inside S3, in one call or in parts, with their type"] = function()
  local l = lab(11 * MIB)
  l.s3:upload { file = l.file, to = "s3://shop/x y", part_size = PART, ContentType = "text/x", Metadata = { a = "b" } }
  test.equal(l.s3:copy({ from = "s3://shop/x y", to = "s3://shop/one/" }).parts, 1)
  test.equal(l.s3:copy({ from = "s3://shop/x y", bucket = "shop", key = "parts", part_size = PART }).parts, 3)
  for _, key in ipairs { "one/x y", "parts" } do
    local head = l.s3:head_object { Bucket = "shop", Key = key }
    test.equal({ head.ContentType, head.Metadata, head.ContentLength }, { "text/x", { a = "b" }, 11 * MIB })
    l.s3:download { from = "s3://shop/" .. key, file = l.dir .. "/copy" }
    same(l.file, l.dir .. "/copy")
  end
end

T["what cannot be right is refused before anything is sent"] = function()
  local dir = test.tmpdir()
  local s3 = aws.client { service = "s3", region = "us-east-1", endpoint = "http://127.0.0.1:1",
                          credentials = { access_key_id = "a", secret_access_key = "b" } }
  fs.write(dir .. "/file", "x")
  local function refused(pattern, method, o)
    test.equal(test.raises(pattern, s3[method], s3, o).kind, "usage", pattern)
  end
  refused("needs file, or from", "upload", { to = "s3://b/k" })
  refused("not an address as s3://bucket/key", "upload", { file = dir .. "/file", to = "b/k" })
  refused("to, or bucket and key; not both", "upload", { file = dir .. "/file", to = "s3://b/k", key = "k" })
  refused("needs to: s3://bucket/key", "upload", { file = dir .. "/file" })
  refused("needs a key", "download", { from = "s3://b", file = dir })
  refused("no option ContentTyp %(did you mean ContentType%?%)", "upload", { file = dir .. "/file", to = "s3://b/k", ContentTyp = "x" })
  refused("no option parralel %(did you mean parallel%?%)", "upload", { file = dir .. "/file", to = "s3://b/k", parralel = 2 })
  refused("no option IfMatch", "download", { file = dir .. "/x", from = "s3://b/k", IfMatch = "x" })
  refused("between 5 MiB and 5 GiB", "upload", { file = dir .. "/file", to = "s3://b/k", part_size = MIB })
  refused("is not a file", "upload", { file = dir, to = "s3://b/k" })
  refused("is not a file", "upload", { file = dir .. "/none", to = "s3://b/k" })
  refused("must be one of CRC32, SHA256", "upload", { file = dir .. "/file", to = "s3://b/k", checksum = "MD5" })
  refused("a function or a process", "upload", { from = "x", to = "s3://b/k" })
end

T["parts grow so that there are never more than 10,000, and an object that is too large is refused"] = function()
  local parts = require "aws.transfer.parts"
  test.equal(parts.size(0), parts.DEFAULT)
  test.equal(parts.size(100 << 30), 11 * MIB)
  for _, size in ipairs { (160000 << 20) + 1, 1 << 40, 5 << 40, parts.LARGEST_OBJECT } do
    local part_size = parts.size(size, PART)
    test.truthy((size + part_size - 1) // part_size <= 10000 and part_size <= 5 << 30 and part_size % MIB == 0, size)
  end
  test.equal(test.raises("more than an object of S3 may have", parts.size, parts.LARGEST_OBJECT + 1).kind, "usage")
  local list = parts.cut(11, 5)
  test.equal({ #list, list[3] }, { 3, { number = 3, offset = 10, length = 1 } })
end

return T
