--- Answers of type application/vnd.amazon.eventstream, read whole: a list of events. Each message is its two lengths and
--- their CRC-32, headers, a payload, and the CRC-32 of all of it. Source: "Amazon Event Stream" (Smithy).
local errors = require "errors"
local json = require "json"
local secret = require "secret"
local sensitive = require "aws.sensitive"
local sign = require "sign"

local M = {}

local function wrong(fmt, ...) errors.raise { kind = "protocol", message = "the stream of events " .. fmt:format(...) } end

--- How the value of a header is packed, by its type.
local FORMATS = { [2] = ">i1", [3] = ">i2", [4] = ">i4", [5] = ">i8", [6] = ">s2", [7] = ">s2", [8] = ">i8", [9] = "c16" }
local TIME = 8

local function headers_of(bytes)
  local headers, at = {}, 1
  while at <= #bytes do
    local name, kind
    name, kind, at = (">s1B"):unpack(bytes, at)
    if kind <= 1 then
      headers[name] = kind == 0
    else
      headers[name], at = (FORMATS[kind] or wrong("has a header of the unknown type %d", kind)):unpack(bytes, at)
      if kind == TIME then                                      -- milliseconds
        local seconds = headers[name] / 1000
        headers[name] = math.tointeger(seconds) or seconds
      end
    end
  end
  return headers
end

--- Iterates over the messages of a stream. Raises "protocol" when one is cut off or not what was sent.
---@param bytes string
---@return fun(): table<string, any>?, string headers and payload
function M.messages(bytes)
  local at = 1
  return function()
    if at > #bytes then return nil end
    if #bytes - at + 1 < 16 then wrong "is cut off" end
    local total, length, crc = (">I4I4I4"):unpack(bytes, at)
    if sign.crc32(bytes:sub(at, at + 7)) ~= crc or total < length + 16 then wrong("is damaged at byte %d", at) end
    if #bytes - at + 1 < total then wrong "is cut off" end
    if sign.crc32(bytes:sub(at, at + total - 5)) ~= (">I4"):unpack(bytes, at + total - 4) then wrong("is damaged after byte %d", at) end
    local ok, headers = pcall(headers_of, bytes:sub(at + 12, at + 11 + length))
    if not ok then wrong("has unreadable headers at byte %d", at) end
    local payload = bytes:sub(at + 12 + length, at + total - 5)
    at = at + total
    return headers, payload
  end
end

--- One event: members in headers, and the payload, which is one member or all the others.
local function event(model, name, headers, payload, decode)
  local shape, result, body = model.shape(name), {}, nil
  for _, member in ipairs(shape.members) do
    if member.event_payload then body = member end
  end
  if body then
    local kind = model.shape(body.shape).type
    local plain = kind == "blob" or kind == "string"
    result[body.name] = plain and payload or decode(model, body.shape, payload)
    if plain and sensitive.hides(model.service, shape, body, result) then result[body.name] = secret.new(payload) end
  elseif payload ~= "" then
    result = decode(model, name, payload)
  end
  for _, member in ipairs(shape.members) do
    if member.event_header then result[member.name] = headers[member.name] end
  end
  return result
end

--- The member of an output that is the stream of events of this answer.
---@param model aws.Model
---@param output aws.Shape
---@param response aws.WireResponse
---@return aws.Member?
function M.member(model, output, response)
  if not (response.headers["content-type"] or ""):find("application/vnd.amazon.eventstream", 1, true) then return nil end
  for _, member in ipairs(output.members) do
    if model.shape(member.shape).eventstream then return member end
  end
  return nil
end

--- Reads a stream: each event under its name, as in boto3. An error in the stream is raised, kind "remote".
---@param model aws.Model
---@param member aws.Member the stream
---@param bytes string
---@param decode fun(model: aws.Model, name: string, body: string): any how the protocol reads a payload
---@return table[] events
---@return string? initial payload of the first answer, where the protocol has one
function M.read(model, member, bytes, decode)
  local stream, events, initial = model.shape(member.shape), json.array {}, nil
  for headers, payload in M.messages(bytes) do
    local kind = headers[":message-type"]
    if kind == "error" or kind == "exception" then
      local code = headers[":exception-type"] or headers[":error-code"] or "Unknown"
      local known = stream.by_name[code]
      local ok, data = pcall(event, model, known and known.shape or "", headers, payload, decode)
      errors.raise { kind = "remote", code = code, data = ok and data or nil,
                     message = headers[":error-message"] or ok and (data.message or data.Message) or "the stream ends with an error" }
    end
    local name = headers[":event-type"]
    if name == "initial-response" then
      initial = payload
    elseif stream.by_name[name] then
      events[#events + 1] = { [name] = event(model, stream.by_name[name].shape, headers, payload, decode) }
    end
  end
  return events, initial
end

return M
