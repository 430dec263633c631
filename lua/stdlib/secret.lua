--- Secrets: values that can be passed on, joined, encoded and compared, but
--- never printed or turned back into a Lua string.
---
--- tostring(secret) is "(secret)". `..` raises: text("%s", value) joins, and so
--- does secret.concat; both answer a secret when a part is one. Members of a
--- URL other than its password, and the names of members in JSON, are not
--- secret: do not put a secret there.
local host = require "host.secret"
local errors = require "errors"

local M = {}

---@class Secret

--- Makes a secret of a string. The string itself stays in Lua until it is
--- collected: prefer what already answers secrets (json.decode, random).
---@param value string|Secret
---@return Secret
M.new = host.new

--- Whether a value is a secret.
---@param value any
---@return boolean
M.is = host.is

--- Joins strings, numbers and secrets.
---@param parts (string|number|Secret)[]
---@return string|Secret joined a secret if a part is one; the unknown, if a part is unknown
M.concat = host.concat

--- Writes a value for another format; a secret stays a secret. "json" gives a
--- string literal with its quotes, "url" percent-encodes all but RFC 3986's
--- unreserved characters.
---@param value string|Secret
---@param kind "url"|"json"|"base64"|"xml"|"hex"
---@return string|Secret
M.encode = host.encode

--- Random characters from the system's generator, 62 letters and digits unless
--- told otherwise.
---@param characters integer
---@param alphabet? string 2 to 256 one-byte letters
---@return Secret
M.random = host.random

--- Compares strings or secrets in constant time.
---@return boolean
M.equal = host.equal

--- The size in bytes.
---@param value string|Secret
---@return integer
M.size = host.size

--- The SHA-256 of a value, in hexadecimal: to tell whether a secret changed.
---@param value string|Secret
---@return string
M.sha256 = host.sha256

--- A message of somebody who was given secrets, without them: a service may
--- repeat in an error what it was sent.
---@param message string
---@param given any a secret, or a table that holds some
---@return string
function M.hide(message, given)
  if host.is(given) then return host.hide(message, given) end
  if type(given) == "table" then
    for _, value in pairs(given) do message = M.hide(message, value) end
  end
  return message
end

--- Wipes a secret now; any later use of it raises.
---@param value Secret
M.wipe = host.wipe

---@class Url
---@field scheme string
---@field user? string decoded
---@field password? Secret decoded
---@field host string without the brackets of an IPv6 address
---@field port? integer
---@field path string as it stands, with its slash; "" if there is none
---@field query? string|Secret as it stands, without "?"; a secret if it seems to hold one

--- Takes a URL apart. Raises kind "invalid"; the error does not quote the URL.
---@param url string|Secret
---@return Url
function M.parse_url(url)
  return (errors.check("read the URL", host.parse_url(url)))
end

--- Puts a URL together; user and password are percent-encoded.
---@param parts Url
---@return string|Secret url a secret if a part is one
M.build_url = host.build_url

return M
