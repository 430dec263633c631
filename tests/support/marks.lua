--- A secret in all the forms in which it may lie about: plain, and encoded for URLs, JSON, hex and base64.
local json = require "json"
local sign = require "sign"

local M = {}

local function percent(s) return (s:gsub("[^%w%-._~]", function(c) return ("%%%02X"):format(c:byte()) end)) end

--- base64 has three forms, by the place where it begins.
---@param value string
---@return string[]
function M.forms(value)
  local list = { value, percent(value), (json.encode(value):sub(2, -2)), sign.hex(value), (sign.hex(value):upper()) }
  for shift = 0, 2 do
    local coded = sign.base64(("x"):rep(shift) .. value)
    list[#list + 1] = coded:sub(shift == 0 and 1 or 5, #coded - 8)
  end
  return list
end

return M
