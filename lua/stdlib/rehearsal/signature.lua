--- Checks the AWS Signature Version 4 of a request, written from the server's
--- side and apart from the client's code, so that one judges the other.
--- Source: AWS, "Create a signed AWS API request" (header and query forms).
local secret = require "secret"
local sign = require "sign"
local timestamp = require "aws.timestamp"

local M = {}

local function fail(code, status, message)
  error({ aws = true, code = code, status = status, message = message }, 0)
end

local function escape(s)
  return (s:gsub("[^%w%-%._~]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local function unescape(s)
  return (s:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

--- Where the signature stands: in the header or in the query string.
---@return table? { access_key, date, region, service, headers, signature, amz_date, query }
function M.read(req)
  local header = req.headers.authorization
  if header then
    local credential, headers, signature = header:match "^AWS4%-HMAC%-SHA256 +Credential=([^,]+), *SignedHeaders=([^,]+), *Signature=(%x+)$"
    if not credential then return nil end
    local key, date, region, service = credential:match "^([^/]+)/(%d+)/([^/]+)/([^/]+)/aws4_request$"
    return key and { access_key = key, date = date, region = region, service = service, headers = headers, signature = signature,
                     amz_date = req.headers["x-amz-date"] }
  end
  local q = req.query
  if q["X-Amz-Signature"] then
    local key, date, region, service = (q["X-Amz-Credential"] or ""):match "^([^/]+)/(%d+)/([^/]+)/([^/]+)/aws4_request$"
    return key and { access_key = key, date = date, region = region, service = service, headers = q["X-Amz-SignedHeaders"],
                     signature = q["X-Amz-Signature"], amz_date = q["X-Amz-Date"], presigned = true,
                     expires = tonumber(q["X-Amz-Expires"]) }
  end
end

local function canonical_query(req)
  local parts = {}
  for part in req.raw_query:gmatch "[^&]+" do
    local name, value = part:match "^([^=]*)=?(.*)$"
    if name ~= "X-Amz-Signature" then
      parts[#parts + 1] = { escape(unescape(name)), escape(unescape((value:gsub("%+", "%%20")))) }
    end
  end
  table.sort(parts, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end)
  for i, part in ipairs(parts) do parts[i] = part[1] .. "=" .. part[2] end
  return table.concat(parts, "&")
end

local function canonical_path(req, service)
  local path = req.raw_path == "" and "/" or req.raw_path
  if service == "s3" then return path end
  return (path:gsub("[^/]+", escape))
end

local function canonical_headers(req, names)
  local lines = {}
  for name in names:gmatch "[^;]+" do
    local value = req.headers[name]
    if value == nil then fail("SignatureDoesNotMatch", 403, "the signed header " .. name .. " is missing") end
    lines[#lines + 1] = name .. ":" .. value:gsub("^%s+", ""):gsub("%s+$", ""):gsub("%s+", " ") .. "\n"
  end
  return table.concat(lines)
end

local function payload_hash(req, s)
  local said = req.headers["x-amz-content-sha256"]
  if s.presigned and s.service == "s3" then return said or "UNSIGNED-PAYLOAD" end
  if said and not said:match "^%x+$" then return said end        -- UNSIGNED-PAYLOAD, STREAMING-...
  local real = req.body_file and sign.sha256_file(req.body_file) or sign.sha256(req.body or "")
  if said and said ~= real then fail("XAmzContentSHA256Mismatch", 400, "the body is not the one that was hashed") end
  return real
end

--- Raises the error AWS would answer unless the signature is right.
---@param req table
---@param secrets table<string, any> access key id -> secret access key
---@param now number seconds since 1970
---@return table scope { access_key, region, service, token }
function M.check(req, secrets, now)
  local s = M.read(req) or fail("MissingAuthenticationToken", 403, "Request is missing Authentication Token")
  local key = secrets[s.access_key] or fail("InvalidClientTokenId", 403, "The security token included in the request is invalid.")
  local when = s.amz_date and timestamp.parse((s.amz_date:gsub("^(%d%d%d%d)(%d%d)(%d%d)T(%d%d)(%d%d)(%d%d)Z$", "%1-%2-%3T%4:%5:%6Z")))
  if not when or s.date ~= s.amz_date:sub(1, 8) then fail("IncompleteSignature", 400, "Date must be in ISO-8601 'basic format'") end
  if s.presigned and now > when + (s.expires or 0) then fail("AccessDenied", 403, "Request has expired") end
  if not s.presigned and math.abs(now - when) > 300 then
    fail("RequestTimeTooSkewed", 403, "The difference between the request time and the current time is too large.")
  end
  local canonical = table.concat({
    req.method, canonical_path(req, s.service), canonical_query(req), canonical_headers(req, s.headers), s.headers, payload_hash(req, s),
  }, "\n")
  local scope = ("%s/%s/%s/aws4_request"):format(s.date, s.region, s.service)
  local to_sign = table.concat({ "AWS4-HMAC-SHA256", s.amz_date, scope, sign.sha256(canonical) }, "\n")
  local k = sign.hmac(secret.concat { "AWS4", key }, s.date)
  for _, part in ipairs { s.region, s.service, "aws4_request" } do k = sign.hmac(k, part) end
  if not secret.equal(sign.hex(sign.hmac(k, to_sign)), s.signature) then
    fail("SignatureDoesNotMatch", 403, "The request signature we calculated does not match the signature you provided.")
  end
  s.token = req.headers["x-amz-security-token"] or req.query["X-Amz-Security-Token"]
  return s
end

return M
