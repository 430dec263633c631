--- Checksums of objects as S3 writes them: of the whole (FULL_OBJECT), or of the checksums of the parts (COMPOSITE, with
--- "-" and their number at the end). Source: "Checking object integrity in Amazon S3" (S3 User Guide).
local sign = require "sign"

local M = {}

--- What is computed here: the member of AWS's calls, and the name in sign.digest_file.
local NAMES = { CRC32 = "crc32", SHA256 = "sha256", SHA1 = "sha1" }

--- How objects of several parts are summed up: CRCs can be joined, the others cannot.
M.TYPES = { CRC32 = "FULL_OBJECT", SHA256 = "COMPOSITE" }

local HASHES = { sha256 = sign.sha256, md5 = sign.md5 }

---@class aws.Checksum
---@field digest string "crc32", "sha256", "sha1" or "md5"
---@field text string
---@field parts? integer of how many parts it is composed

---@param algorithm string "CRC32"
---@return string member
function M.member(algorithm) return "Checksum" .. algorithm end

---@param algorithm string "CRC32"
---@return string digest
function M.digest(algorithm) return NAMES[algorithm] end

local function raw(digest, name)
  if name == "crc32" then return (">I4"):pack(digest.crc32) end
  return sign.unhex(digest[name])
end

--- One piece's checksum in base64; in hexadecimal, as ETags are, if it is the MD5.
---@param digest table as sign.digest_file gives it
---@param name string
---@return string
function M.text(digest, name)
  if name == "md5" then return digest.md5 end
  return sign.base64(raw(digest, name))
end

--- The CRC-32 of pieces one after the other.
---@param digests table[]
---@return { crc32: integer, size: integer }
function M.joined(digests)
  local whole = { crc32 = 0, size = 0 }
  for _, d in ipairs(digests) do
    whole.crc32, whole.size = sign.crc32_join(whole.crc32, d.crc32, d.size), whole.size + d.size
  end
  return whole
end

--- The checksum of the parts' checksums; nil where its hash is not to be had.
---@param digests table[]
---@param name string
---@return string?
function M.composite(digests, name)
  local list = {}
  for i, d in ipairs(digests) do list[i] = raw(d, name) end
  local bytes = table.concat(list)
  local text
  if name == "crc32" then text = M.text({ crc32 = sign.crc32(bytes) }, name)
  elseif HASHES[name] then text = M.text({ [name] = HASHES[name](bytes) }, name) end
  return text and text .. "-" .. #digests
end

local function number(text) return math.tointeger(tonumber(text)) end

--- The checksum that S3 has of an object and that can be computed here: one that it was stored with, else its ETag,
--- where that is an MD5. nil if there is none.
---@param head table what HeadObject answered
---@return aws.Checksum?
function M.known(head)
  local etag, count = head.ETag:match '^"?(%x+)%-?(%d*)"?$'
  for _, algorithm in ipairs { "CRC32", "SHA256", "SHA1" } do
    local text, parts = (head[M.member(algorithm)] or ""):match "^([^-]+)%-?(%d*)$"
    if text then
      parts = number(parts) or head.ChecksumType == "COMPOSITE" and number(count) or nil         -- moto leaves the number out
      return { digest = NAMES[algorithm], text = parts and text .. "-" .. parts or text, parts = parts }
    end
  end
  local is_md5 = head.SSECustomerAlgorithm == nil and not (head.ServerSideEncryption or ""):find "^aws:kms"
  if is_md5 and etag and #etag == 32 then
    return { digest = "md5", text = number(count) and etag .. "-" .. count or etag, parts = number(count) }
  end
end

return M
