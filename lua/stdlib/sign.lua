--- Digests, signatures, certificates and random numbers. Every function takes
--- strings or secrets.
local host = require "host.sign"
local secret = require "secret"
local errors = require "errors"
local task = require "task"
local sigv4 = require "sigv4"

local M = {}

--- SHA-256 in hexadecimal, or as 32 bytes with raw = true.
---@type fun(value: string|Secret, raw?: boolean): string
M.sha256 = host.sha256

--- SHA-512 and SHA-1, as sha256.
---@type fun(value: string|Secret, raw?: boolean): string
M.sha512 = host.sha512

---@type fun(value: string|Secret, raw?: boolean): string
M.sha1 = host.sha1

--- MD5, for protocols that ask for it (Content-MD5, ETags); not for security.
---@type fun(value: string|Secret, raw?: boolean): string
M.md5 = host.md5

--- HMAC-SHA-256 (RFC 2104) as 32 bytes, or in hexadecimal with hex = true.
---@type fun(key: string|Secret, value: string|Secret, hex?: boolean): string
M.hmac = host.hmac

--- CRC-32 as zip, gzip and S3 use it.
---@type fun(value: string|Secret): integer
M.crc32 = host.crc32

--- CRC-32C (Castagnoli), as iSCSI and S3 use it.
---@type fun(value: string|Secret): integer
M.crc32c = host.crc32c

--- CRC-64/NVME, as S3 uses it; a number of 64 bits, so it may be negative.
---@type fun(value: string|Secret): integer
M.crc64nvme = host.crc64nvme

--- The CRC-32 of two pieces put together, from theirs.
---@type fun(first: integer, second: integer, length_of_second: integer): integer
M.crc32_join = host.crc32_join

--- Bytes from the system's generator. For passwords use secret.random.
---@type fun(bytes: integer): string
M.random = host.random

--- A random UUID (version 4).
---@type fun(): string
M.uuid = host.uuid

---@param value string|Secret
---@return string|Secret
function M.hex(value) return secret.encode(value, "hex") end

---@param value string|Secret
---@return string|Secret
function M.base64(value) return secret.encode(value, "base64") end

--- Raises kind "invalid" for what is not hexadecimal.
---@param value string|Secret
---@return string|Secret
function M.unhex(value) return (errors.check("decode hexadecimal", host.unhex(value))) end

--- Takes both alphabets of RFC 4648, with or without padding and line breaks.
--- Raises kind "invalid" for what is not base64.
---@param value string|Secret
---@return string|Secret
function M.unbase64(value) return (errors.check("decode base64", host.unbase64(value))) end

--- Checksums of a file, or of a piece of it, read in blocks on a worker thread.
---@param path string
---@param names string[] of "crc32", "crc32c", "crc64nvme", "sha256", "sha1", "md5"
---@param o? { offset?: integer, length?: integer, timeout?: number } bytes; seconds, default 600
---@return { size: integer, crc32?: integer, sha256?: string, sha1?: string, md5?: string } hexadecimal, but the CRC-32
function M.digest_file(path, names, o)
  o = o or {}
  local op, timeout = "read " .. path, o.timeout or 600
  local job <close> = errors.check(op, host.digest_file(path, names, o.offset, o.length))
  if not task.await(job:id(), timeout) then
    errors.raise { op = op, kind = "timeout", message = ("not done within %g s"):format(timeout) }
  end
  return errors.check(op, job:result())
end

--- The SHA-256 of a file.
---@param path string
---@param timeout? number seconds, default 600
---@return string hexadecimal
---@return integer bytes
function M.sha256_file(path, timeout)
  local digest = M.digest_file(path, { "sha256" }, { timeout = timeout })
  return digest.sha256, digest.size
end

--- The SHA-256 of a body that is a file, or a piece of one, for who signs it.
---@param body { file: string, offset?: integer, length?: integer }
---@return string hexadecimal
function M.sha256_body(body)
  return M.digest_file(body.file, { "sha256" }, { offset = body.offset, length = body.length }).sha256
end

M.sigv4, M.presign = sigv4.sign, sigv4.presign

---@class Certificate
---@field cert string PEM
---@field key Secret PEM

--- Makes a certificate authority of one's own (P-256).
---@param o { name: string, days: integer? } days default to 397
---@return Certificate
function M.make_ca(o)
  local cert, key = host.make_ca(o.name, o.days)
  return { cert = errors.check("make the CA " .. o.name, cert, key), key = key }
end

--- Issues a certificate for a server. Raises kind "usage" for a name that is
--- neither a host name nor an address.
---@param ca Certificate
---@param o { name: string?, names: string[]?, ips: string[]?, days: integer? }
---@return Certificate
function M.issue_cert(ca, o)
  local parts = {}
  for _, name in ipairs(o.names or (o.name and { o.name }) or {}) do
    if not name:find "^[%w*_.-]+$" then errors.usage("sign.issue_cert: %q is not a host name", name) end
    parts[#parts + 1] = "DNS:" .. name
  end
  for _, ip in ipairs(o.ips or {}) do
    if not ip:find "^[%x.:]+$" then errors.usage("sign.issue_cert: %q is not an IP address", ip) end
    parts[#parts + 1] = "IP:" .. ip
  end
  if #parts == 0 then errors.usage "sign.issue_cert needs a name or an address" end
  local name = o.name or (o.names or {})[1] or o.ips[1]
  local cert, key = host.issue_cert(ca.cert, ca.key, name, table.concat(parts, ","), o.days)
  return { cert = errors.check("issue a certificate for " .. name, cert, key), key = key }
end

return M
