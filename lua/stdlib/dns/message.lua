--- Messages of the DNS, to and from bytes: RFC 1035, with EDNS(0) of RFC 6891. Records of types that are not known here
--- keep their bytes.
local errors = require "errors"

local M = {}

M.TYPES = { A = 1, NS = 2, CNAME = 5, SOA = 6, PTR = 12, MX = 15, TXT = 16, AAAA = 28, SRV = 33, OPT = 41, CAA = 257, ANY = 255 }
M.CODES = { [0] = "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED" }

local TYPE_NAMES = {}
for name, number in pairs(M.TYPES) do TYPE_NAMES[number] = name end

local CODE_NUMBERS = {}
for number, name in pairs(M.CODES) do CODE_NUMBERS[name] = number end

local PAYLOAD = 1232                    -- bytes of a datagram that passes everywhere (dnsflagday.net/2020)

local function wrong(fmt, ...)
  errors.raise { kind = "protocol", op = "read a DNS message", message = fmt:format(...) }
end

--- A name as it is compared: lower case, without the dot at its end.
function M.name(name) return (name:lower():gsub("%.$", "")) end

-- Writing ------------------------------------------------------------------

local function name_bytes(name)
  local out = {}
  for label in M.name(name):gmatch "[^.]+" do
    if #label > 63 then errors.usage("the label %s of the name %s is longer than 63 characters", label, name) end
    out[#out + 1] = string.pack(">s1", label)
  end
  return table.concat(out) .. "\0"
end

local function address_bytes(value)
  return string.char(value:match "^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
end

local function text_bytes(value)
  local out = {}
  for part in value:gmatch '"([^"]*)"' do out[#out + 1] = string.pack(">s1", part) end
  if #out == 0 then out[1] = string.pack(">s1", value:sub(1, 255)) end
  return table.concat(out)
end

local function ipv6_bytes(value)
  local head, tail = value:match "^(.-)::(.*)$"
  local function groups(s)
    local list = {}
    for group in s:gmatch "%x+" do list[#list + 1] = string.pack(">I2", tonumber(group, 16)) end
    return list
  end
  local first, last = groups(head or value), groups(tail or "")
  while #first + #last < 8 do first[#first + 1] = "\0\0" end
  return table.concat(first) .. table.concat(last)
end

local WRITERS = {
  A = address_bytes, AAAA = ipv6_bytes, NS = name_bytes, CNAME = name_bytes, PTR = name_bytes, TXT = text_bytes,
  MX = function(value)
    local preference, name = value:match "^(%d+)%s+(%S+)$"
    return string.pack(">I2", tonumber(preference)) .. name_bytes(name)
  end,
  SRV = function(value)
    local priority, weight, port, name = value:match "^(%d+)%s+(%d+)%s+(%d+)%s+(%S+)$"
    return string.pack(">I2I2I2", tonumber(priority), tonumber(weight), tonumber(port)) .. name_bytes(name)
  end,
  CAA = function(value)
    local flags, tag, text = value:match '^(%d+)%s+(%w+)%s+"?([^"]*)"?$'
    return string.char(flags) .. string.pack(">s1", tag) .. text
  end,
  SOA = function(value)
    local server, mail, a, b, c, d, e = value:match "^(%S+)%s+(%S+)%s+(%d+)%s+(%d+)%s+(%d+)%s+(%d+)%s+(%d+)$"
    return name_bytes(server) .. name_bytes(mail)
      .. string.pack(">I4I4I4I4I4", tonumber(a), tonumber(b), tonumber(c), tonumber(d), tonumber(e))
  end,
}

local function record_bytes(r)
  local data = r.data or WRITERS[r.type](r.value)
  return name_bytes(r.name) .. string.pack(">I2I2I4s2", M.TYPES[r.type] or r.type, 1, r.ttl, data)
end

--- The bytes of a message.
---@param m { id: integer, response: boolean?, authoritative: boolean?, truncated: boolean?, recursion_desired: boolean?,
---  recursion_available: boolean?, code: string?, question: { name: string, type: string }, answers: table[]?,
---  authority: table[]?, additional: table[]?, edns: boolean? }
---@return string
function M.encode(m)
  local flags = (m.response and 0x8000 or 0) | (m.authoritative and 0x0400 or 0) | (m.truncated and 0x0200 or 0)
    | (m.recursion_desired and 0x0100 or 0) | (m.recursion_available and 0x0080 or 0) | (CODE_NUMBERS[m.code or "NOERROR"] or 2)
  local answers, authority, additional = m.answers or {}, m.authority or {}, m.additional or {}
  local out = { string.pack(">I2I2I2I2I2I2", m.id, flags, 1, #answers, #authority, #additional + (m.edns and 1 or 0)),
    name_bytes(m.question.name), string.pack(">I2I2", M.TYPES[m.question.type] or m.question.type, 1) }
  for _, section in ipairs { answers, authority, additional } do
    for _, r in ipairs(section) do out[#out + 1] = record_bytes(r) end
  end
  if m.edns then out[#out + 1] = "\0" .. string.pack(">I2I2I4I2", M.TYPES.OPT, PAYLOAD, 0, 0) end
  return table.concat(out)
end

-- Reading ------------------------------------------------------------------

--- A name at a place, and the place behind it; pointers only lead back, so they end.
local function read_name(bytes, at)
  local labels, behind, limit = {}, nil, at
  while true do
    local size = bytes:byte(at) or wrong "it ends in a name"
    if size >= 0xc0 then
      local target = (string.unpack(">I2", bytes .. "\0", at) & 0x3fff) + 1
      behind = behind or at + 2
      if target >= limit then wrong "a name points forward" end
      at, limit = target, target
    elseif size > 63 then wrong "a label is of an unknown kind"
    elseif size == 0 then return table.concat(labels, "."):lower(), behind or at + 1
    else
      if at + size > #bytes then wrong "it ends in a name" end
      labels[#labels + 1] = bytes:sub(at + 1, at + size)
      at = at + 1 + size
    end
  end
end

local function texts(bytes, at, last)
  local out = {}
  while at <= last do
    local text, next_at = string.unpack(">s1", bytes, at)
    out[#out + 1], at = ('"%s"'):format(text), next_at
  end
  return table.concat(out, " ")
end

local function named(bytes, at) return (read_name(bytes, at)) end

local READERS = {
  A = function(bytes, at) return ("%d.%d.%d.%d"):format(bytes:byte(at, at + 3)) end,
  AAAA = function(bytes, at)
    return (("%x:%x:%x:%x:%x:%x:%x:%x"):format(string.unpack(">I2I2I2I2I2I2I2I2", bytes, at)))
  end,
  NS = named, CNAME = named, PTR = named, TXT = texts,
  MX = function(bytes, at) return ("%d %s"):format((string.unpack(">I2", bytes, at)), (read_name(bytes, at + 2))) end,
  SRV = function(bytes, at)
    local priority, weight, port = string.unpack(">I2I2I2", bytes, at)
    return ("%d %d %d %s"):format(priority, weight, port, (read_name(bytes, at + 6)))
  end,
  CAA = function(bytes, at, last)
    local flags, tag, next_at = string.unpack(">Bs1", bytes, at)
    return ('%d %s "%s"'):format(flags, tag, bytes:sub(next_at, last))
  end,
  SOA = function(bytes, at)
    local server, mail
    server, at = read_name(bytes, at)
    mail, at = read_name(bytes, at)
    local a, b, c, d, e = string.unpack(">I4I4I4I4I4", bytes, at)
    return ("%s %s %d %d %d %d %d"):format(server, mail, a, b, c, d, e)
  end,
}

local function read_records(bytes, at, count)
  local list = {}
  for _ = 1, count do
    local name, kind, ttl, size
    name, at = read_name(bytes, at)
    kind, _, ttl, size, at = string.unpack(">I2I2I4I2", bytes, at)
    if at + size - 1 > #bytes then wrong "it ends in a record" end
    local type_name = TYPE_NAMES[kind]
    local read = READERS[type_name]
    list[#list + 1] = { name = name, type = type_name or kind, ttl = ttl, value = read and read(bytes, at, at + size - 1) or nil,
      data = not read and bytes:sub(at, at + size - 1) or nil }
    at = at + size
  end
  return list, at
end

--- The message in these bytes; raises kind "protocol" for what is none.
---@param bytes string
---@return table message as encode takes it
function M.decode(bytes)
  if #bytes < 12 then wrong "it is shorter than a header" end
  local ok, m = pcall(function()
    local id, flags, questions, answers, authority, additional, at = string.unpack(">I2I2I2I2I2I2", bytes)
    local m = { id = id, response = flags & 0x8000 ~= 0, opcode = flags >> 11 & 15, authoritative = flags & 0x0400 ~= 0,
      truncated = flags & 0x0200 ~= 0, recursion_desired = flags & 0x0100 ~= 0, recursion_available = flags & 0x0080 ~= 0,
      code = M.CODES[flags & 15] or tostring(flags & 15) }
    for _ = 1, questions do
      local name, kind
      name, at = read_name(bytes, at)
      kind, _, at = string.unpack(">I2I2", bytes, at)
      m.question = { name = name, type = TYPE_NAMES[kind] or kind }
    end
    m.answers, at = read_records(bytes, at, answers)
    m.authority, at = read_records(bytes, at, authority)
    local more = read_records(bytes, at, additional)
    m.additional = {}
    for _, r in ipairs(more) do
      if r.type == "OPT" then m.edns = true else m.additional[#m.additional + 1] = r end
    end
    return m
  end)
  if ok then return m end
  if errors.is(m, "protocol") then error(m, 0) end
  wrong "it is cut off"
end

return M
