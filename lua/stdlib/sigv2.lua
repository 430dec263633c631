--- Signatures of version 2, in the form of a query request: SimpleDB and Import/Export take no others. As the Amazon SimpleDB
--- Developer Guide has them, "Signature Version 2" with HMAC-SHA256.
local secret = require "secret"
local sign = require "sign"

local M = {}

--- The pairs of a form with who asks, when, and the signature, which covers all of them sorted by name.
---@param claim SigV4 what is signed, by whom and when
---@param form { [1]: string, [2]: string|userdata }[]
---@return { [1]: string, [2]: string|userdata }[]
function M.form(claim, form)
  local pairs_ = {
    { "AWSAccessKeyId", claim.access_key }, { "SignatureVersion", "2" }, { "SignatureMethod", "HmacSHA256" },
    { "Timestamp", os.date("!%Y-%m-%dT%H:%M:%SZ", claim.time) },
  }
  if claim.session_token then pairs_[#pairs_ + 1] = { "SecurityToken", claim.session_token } end
  table.move(form, 1, #form, #pairs_ + 1, pairs_)
  table.sort(pairs_, function(a, b) return a[1] < b[1] end)
  local host, path = claim.url:match "^%a+://([^/?]+)([^?]*)"  -- a query in the URL is not part of it
  local text = { claim.method, "\n", host:lower(), "\n", path == "" and "/" or path, "\n" }
  for i, pair in ipairs(pairs_) do
    text[#text + 1] = (i > 1 and "&" or "") .. secret.encode(pair[1], "url") .. "="
    text[#text + 1] = secret.encode(pair[2], "url")
  end
  pairs_[#pairs_ + 1] = { "Signature", sign.base64(sign.hmac(claim.secret_key, secret.concat(text))) }
  return pairs_
end

return M
