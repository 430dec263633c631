--- Buckets and the bytes of objects: each object, and each part of one, is a file in its bucket's folder.
local fs = require "fs"
local sign = require "sign"
local wire = require "rehearsal.wire"

local M = {}

--- The checksums that are computed here: in AWS's words, and in sign.digest_file's.
M.SUMS = { CRC32 = "crc32", SHA256 = "sha256", SHA1 = "sha1" }

function M.buckets(cloud)
  local store = cloud:store "s3"
  store.buckets = store.buckets or {}
  return store.buckets
end

function M.bucket_of(cloud, name)
  return M.buckets(cloud)[name] or wire.fail("NoSuchBucket", 404, "The specified bucket does not exist")
end

function M.object_of(cloud, bucket, key)
  return M.bucket_of(cloud, bucket).objects[key] or wire.fail("NoSuchKey", 404, "The specified key does not exist.")
end

local FAILED = "At least one of the pre-conditions you specified did not hold"

--- The conditions of a write or a delete.
function M.conditions(p, old)
  if p.IfNoneMatch == "*" and old then wire.fail("PreconditionFailed", 412, FAILED) end
  if p.IfMatch and not old then wire.fail("NoSuchKey", 404, "The specified key does not exist.") end
  if p.IfMatch and old.etag:gsub('"', "") ~= p.IfMatch:gsub('"', "") then wire.fail("PreconditionFailed", 412, FAILED) end
end

--- A new file of a bucket's.
function M.new_file(bucket)
  bucket.next = bucket.next + 1
  return fs.join(bucket.dir, tostring(bucket.next))
end

--- aws-chunked bodies: "SIZE;chunk-signature=...\r\n" before each chunk.
local function unchunk(body)
  local parts, at = {}, 1
  while true do
    local size, next_at = body:match("^(%x+)[^\r]*\r\n()", at)
    if not size then break end
    local n = tonumber(size, 16)
    if n == 0 then break end
    parts[#parts + 1] = body:sub(next_at, next_at + n - 1)
    at = next_at + n + 2
  end
  return table.concat(parts)
end

--- A checksum as S3 writes it: base64.
function M.text(digest, algorithm)
  local name = M.SUMS[algorithm]
  return sign.base64(name == "crc32" and (">I4"):pack(digest.crc32) or sign.unhex(digest[name]))
end

--- Stores the body of a request; refuses one that is not what its checksums say.
---@param algorithm? string "SHA256": to be computed, whether the request names it or not
---@return { file: string, size: integer, etag: string, digest: table, sums: table<string, string> }
function M.receive(bucket, p, req, algorithm)
  local path = M.new_file(bucket)
  if (req.headers["content-encoding"] or ""):find("aws-chunked", 1, true) then
    fs.append(path, unchunk(p.body_file and fs.read(p.body_file) or p.Body or ""), 420)
  elseif p.body_file then
    assert(os.rename(p.body_file, path))
  else
    fs.append(path, p.Body or "", 420)
  end
  local digest = sign.digest_file(path, { "md5", "crc32", "sha256", "sha1" })
  local sums = {}
  for name in pairs(M.SUMS) do
    local said = req.headers["x-amz-checksum-" .. name:lower()]
    if said and said ~= M.text(digest, name) then
      fs.remove(path)
      wire.fail("BadDigest", 400, "The %s you specified did not match the calculated checksum.", name)
    end
    if said or name == algorithm then sums[name] = M.text(digest, name) end
  end
  local md5 = req.headers["content-md5"]
  if md5 and md5 ~= sign.base64(sign.unhex(digest.md5)) then
    fs.remove(path)
    wire.fail("BadDigest", 400, "The Content-MD5 you specified did not match what we received.")
  end
  return { file = path, size = digest.size, etag = '"' .. digest.md5 .. '"', digest = digest, sums = sums }
end

--- Appends a piece of one file to another, in blocks.
function M.append(from, offset, length, to)
  local source <close> = assert(io.open(from, "rb"))
  local target <close> = assert(io.open(to, "ab"))
  source:seek("set", offset)
  while length > 0 do
    local bytes = source:read(math.min(length, 1 << 20))
    if not bytes then wire.fail("InternalError", 500, "an object became shorter") end
    target:write(bytes)
    length = length - #bytes
  end
end

--- "/bucket/key?versionId=x", escaped -> the object
function M.source(cloud, text)
  local plain = text:gsub("%?versionId=.*$", ""):gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
  local bucket, key = plain:match "^/?([^/]+)/(.+)$"
  if not bucket then wire.fail("InvalidArgument", 400, "Copy Source must mention the source bucket and key: sourcebucket/sourcekey") end
  return M.object_of(cloud, bucket, key)
end

--- "bytes=2-5" of a size -> first, last; nil where it is no range. Raises InvalidRange.
function M.range(text, size)
  local first, last = (text or ""):match "^bytes=(%d*)%-(%d*)$"
  if not first or first == "" and last == "" then return nil end
  if first == "" then first, last = math.max(0, size - math.tointeger(tonumber(last))), size - 1
  else first, last = math.tointeger(tonumber(first)), last ~= "" and math.min(math.tointeger(tonumber(last)), size - 1) or size - 1 end
  if first >= size or last < first then wire.fail("InvalidRange", 416, "The requested range is not satisfiable") end
  return first, last
end

return M
