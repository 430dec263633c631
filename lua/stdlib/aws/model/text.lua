--- Reads the text of a service's model, line by line as they are asked for. aws.model.convert, which writes it, says what
--- a line is; aws.model what it is decoded to.
local M = {}

--- The letters of scalars.
M.LETTERS = { string = "s", int = "i", long = "l", float = "f", double = "d", bool = "b", blob = "y", timestamp = "t" }

local function unescape(word)
  return (word:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

--- "A,B" -> { "A", "B" }, unescaped.
local function split(words)
  local list = {}
  for word in (words or ""):gmatch "[^,]+" do list[#list + 1] = word == "%" and "" or unescape(word) end
  return list
end

--- "x=1 y z=a" -> { x = "1", y = true, z = "a" }, still escaped.
local function traits(text, separator)
  local found = {}
  for word in text:gmatch("[^" .. (separator or " ") .. "]+") do
    local key, value = word:match "^([^=]+)=(.*)$"
    found[key or word] = value or true
  end
  return found
end

local text_of = function(value) return value and unescape(value) end

-- Shapes ------------------------------------------------------------------------------------------------------------

local TYPES = {}
for kind, letter in pairs(M.LETTERS) do TYPES[letter] = kind end

--- "s1~64" -> "string1~64", "[s]" -> "[string]": a scalar goes by its type.
local function shape_name(word)
  local held, size = word:match "^%[(.*)%](.*)$"
  if held then return "[" .. shape_name(held) .. "]" .. size end
  local letter, rest = word:match "^(%l)(.*)$"
  local kind = TYPES[letter]
  return kind and (rest == "" or rest:find("~", 1, true)) and kind .. rest or word
end

--- The shape of a name that says all: "string1~64", "[Tag]~10"; nil for another name.
local function named_by_itself(name)
  local held, size = name:match "^%[(.*)%](.*)$"
  local kind = name:match "^%l+"
  if not held then size = M.LETTERS[kind] and name:sub(#kind + 1) end
  if not size or size ~= "" and not size:find("~", 1, true) then return nil end
  local least, greatest = size:match "^([^~]*)~?(.*)$"
  return { name = name, type = held and "list" or kind, min = tonumber(least), max = tonumber(greatest),
           member = held and { name = "member", shape = held } or nil }
end

local KINDS = { struct = true, list = true, map = true }
for kind in pairs(M.LETTERS) do KINDS[kind] = true end

local LOCATIONS = { uri = true, querystring = true, header = true, headers = true, statusCode = true }

--- What the other words of a member set.
local FIELDS = {
  query = "query", flat = "flattened", attr = "attribute", stream = "streaming", token = "idempotency_token", host = "host_label",
  time = "timestamp_format", json = "json_value", secret = "sensitive", eventpayload = "event_payload", eventheader = "event_header",
  prefix = "xml_prefix",
}

--- "Key!:ObjectKey;uri=Key" -> a member.
local function decode_member(text)
  local head, words = text:match "^([^;]*);?(.*)$"
  local name, required, shape = head:match "^([^:!]+)(!?):?(.*)$"
  local member = { name = name, shape = shape == "" and name:sub(1, 1):upper() .. name:sub(2) or shape_name(shape),
                   required = required == "!" or nil }
  for key, value in pairs(traits(words, ";")) do
    if key == "low" then member.wire = name:sub(1, 1):lower() .. name:sub(2)
    elseif key == "wire" then member.wire = unescape(value)
    elseif key == "ns" then member.xml_namespace = unescape(value)
    elseif LOCATIONS[key] then
      member.location = key
      member.wire = value ~= true and unescape(value) or nil
    elseif FIELDS[key] then member[FIELDS[key]] = value end
  end
  return member
end

local function decode_error(name, said)
  if not said.error then return nil end
  return { code = text_of(said.code) or name, shape = name, status = math.tointeger(tonumber(said.status)),
           sender = said.sender == true }
end

--- Has a shape's enum be decoded when it is first asked for: that of EC2's InstanceType has 1,500 values.
local function with_enum(shape, words)
  return setmetatable(shape, { __index = function(t, key)
    if key ~= "enum" and key ~= "enum_set" then return nil end
    setmetatable(t, nil)
    t.enum, t.enum_set = split(words), {}
    for _, value in ipairs(t.enum) do t.enum_set[value] = true end
    return t[key]
  end })
end

local function decode_shape(name, line)
  local head, body = line:match "^([^|]*)|?(.*)$"
  local said = traits(head)
  local kind = head:match "^%S+"
  if not KINDS[kind] then kind = "struct" end
  local shape = {
    name = name, type = kind, payload = said.payload, union = said.union, document = said.document,
    eventstream = said.eventstream, min = tonumber(said.min), max = tonumber(said.max), sensitive = said.secret,
    xml_namespace = text_of(said.ns), xml_prefix = said.prefix, error = decode_error(name, said),
  }
  if kind == "struct" then
    shape.members, shape.by_name = {}, {}
    for word in body:gmatch "%S+" do
      local member = decode_member(word)
      shape.members[#shape.members + 1] = member
      shape.by_name[member.name] = member
    end
  else
    for word in body:gmatch "%S+" do
      local member = decode_member(word)
      shape[member.name] = member -- member of a list; key and value of a map
    end
  end
  return said.enum and with_enum(shape, said.enum) or shape
end

-- Operations --------------------------------------------------------------------------------------------------------

--- Names with capitals inside that botocore (_xform_cache) spells as one word.
local ONE_WORD = { "iSCSI", "HITs", "PartiQL", "WhatsApp", "OTel" }

--- The name that boto3 gives to an operation or a waiter: DescribeDBInstances -> describe_db_instances.
---@param name string
---@return string
function M.snake(name)
  if name:find("_", 1, true) then return name end
  for _, word in ipairs(ONE_WORD) do
    name = name:gsub(word, word:sub(1, 1):upper() .. word:sub(2):lower())
  end
  local head, plural = name:match "^(.-)(%u%u+s)$" -- ...ARNs, ...IDs: one word with its plural s
  if plural then name = head .. "_" .. plural:lower() end
  name = name:gsub("(.)(%u%l+)", "%1_%2")
  return (name:gsub("([%l%d])(%u)", "%1_%2"):lower())
end

--- The errors of an operation: those that most have, but for what is marked with -, and its own.
local function errors_of(common, words)
  local own, lacks, list = {}, {}, {}
  for _, name in ipairs(split(words)) do
    if name:sub(1, 1) == "-" then lacks[name:sub(2)] = true else own[#own + 1] = name end
  end
  for _, name in ipairs(common) do if not lacks[name] then list[#list + 1] = name end end
  table.move(own, 1, #own, #list + 1, list)
  table.sort(list)
  return list
end

local function decode_operation(name, line, meta)
  local method, uri, rest = line:match "^(%S+) (%S+) ?(.*)$"
  local said = traits(rest)
  local function shape(word) return word and shape_name((word:gsub("^~", name))) end
  return {
    name = name, snake = M.snake(name), method = method, uri = uri, input = shape(said["in"]), output = shape(said.out),
    wrapper = said.wrap, root = said.root, xml_namespace = text_of(said.ns), status = math.tointeger(tonumber(said.status)),
    auth = said.auth and split(said.auth), unsigned = said.auth == "none", unsigned_payload = said.unsigned == true,
    idempotent = said.idempotent == true, readonly = said.readonly == true,
    host_prefix = text_of(said.host), checksum_member = said.sum, checksum_mode = said.sum_mode,
    checksum_required = (said.sum_required or said.md5_required) == true, checksum_answer = split(said.sum_answer),
    compress = said.compress, errors = errors_of(meta.errors, said.errors),
  }
end

-- Paginators and waiters ----------------------------------------------------------------------------------------------

local function decode_paginator(_, line)
  local said = traits(line)
  return { input = split(said["in"]), output = split(said.out), result = split(said.result),
           limit = text_of(said.limit), more = text_of(said.more) }
end

--- The model writes the expected value as JSON: "a string", 404, true.
local function expected_value(word)
  local quoted = word:match '^"(.*)"$'
  if quoted then return quoted end
  if word == "true" or word == "false" then return word == "true" end
  return math.tointeger(tonumber(word))
end

local function decode_waiter(_, line)
  local head, body = line:match "^([^|]*)| ?(.*)$"
  local said, acceptors = traits(head), {}
  for word in body:gmatch "%S+" do
    local state, matcher, expected, argument = word:match "^([^;]*);([^;]*);([^;]*);(.*)$"
    acceptors[#acceptors + 1] = { state = state, matcher = matcher, expected = expected_value(unescape(expected)),
                                  argument = unescape(argument) }
  end
  return { operation = said.op, delay = tonumber(said.delay), tries = math.tointeger(tonumber(said.tries)), acceptors = acceptors }
end

-- The lines ---------------------------------------------------------------------------------------------------------

local SECTIONS = { "o", "s", "p", "w" }
local LETTERS = { operations = "o", shapes = "s", paginators = "p", waiters = "w" }

--- Where the lines of a letter begin and end; they are together, sorted by name.
local function section(text, letter)
  local first, last, seen
  for _, other in ipairs(SECTIONS) do
    local at = (other == letter or seen) and text:find("\n" .. other .. " ", 1, true)
    if other == letter then first, seen = at, true
    elseif at and not last then last = at end
  end
  return (first or #text) + 1, last or #text
end

--- Where what follows the name in its line begins; nil for a name that has no line. Halves what is left each time.
local function find_line(text, name, from, to)
  while from < to do
    local at = text:find("\n", (from + to) // 2, true) + 1
    if at >= to then at = from end
    local found, start = text:match("^%l (%S+) ?()", at)
    if found == name then return start end
    if at == from then from = text:find("\n", from, true) + 1
    elseif found < name then from = at
    else to = at end
  end
  return nil
end

--- A table that decodes the line of a name when it is first indexed; nil for a name that the service does not have.
local function lazy(text, letter, decode, meta)
  local from, to
  return setmetatable({}, { __index = function(known, name)
    if type(name) ~= "string" then return nil end
    if not from then from, to = section(text, letter) end
    local start = find_line(text, name, from, to)
    if not start then return nil end
    local value = decode(name, text:sub(start, text:find("\n", start - 1, true) - 1), meta)
    known[name] = value
    return value
  end })
end

--- A table that is filled as a whole by `fill` when it is first indexed or walked.
local function filled_once(fill)
  local function now(t)
    setmetatable(t, nil)
    fill(t)
  end
  return setmetatable({}, {
    __index = function(t, key) now(t); return t[key] end,
    __pairs = function(t) now(t); return next, t, nil end,
  })
end

local function decode_meta(service, text)
  local meta, head = {}, text:sub(1, (text:find("\n[osw] ")))
  for key, value in head:gmatch "\nm (%S+) ([^\n]*)" do meta[key] = value end
  meta.endpoint_prefix = meta.endpoint_prefix or service
  meta.signing_name = meta.signing_name or meta.endpoint_prefix
  meta.signature_version = meta.signature_version or "v4"
  meta.service_id = meta.service_id or service
  meta.aws_query_compatible = meta.aws_query_compatible == "true" or nil
  meta.auth, meta.errors = split(meta.auth or "v4"), split(meta.errors)
  return meta
end

--- Puts the lines of a text that was written by hand in the order in which they are looked for.
---@param text string
---@return string
function M.sorted(text)
  local lines, sections = {}, { o = {}, s = {}, p = {}, w = {} }
  for line in text:gmatch "[^\n]+" do table.insert(sections[line:match "^(%l) "] or lines, line) end
  for _, letter in ipairs(SECTIONS) do
    table.sort(sections[letter], function(a, b) return a:match "%S+ %S+" < b:match "%S+ %S+" end)
    table.move(sections[letter], 1, #sections[letter], #lines + 1, lines)
  end
  return table.concat(lines, "\n") .. "\n"
end

--- Opens a model that is given as text.
---@param service string
---@param text string as aws.model.convert writes it
---@return aws.Model
function M.open(service, text)
  local meta = decode_meta(service, text)
  local shapes = lazy(text, "s", decode_shape)
  local self = {
    service = service, source = text:match "^# ([^\n]*)", meta = meta, operations = lazy(text, "o", decode_operation, meta),
    paginators = lazy(text, "p", decode_paginator), waiters = lazy(text, "w", decode_waiter),
  }
  function self.shape(name)
    local found = shapes[name]
    if not found then
      found = named_by_itself(name) or error(("the model of %s has no shape %s"):format(service, tostring(name)), 2)
      shapes[name] = found
    end
    return found
  end
  function self.names(kind)
    local list, from, to = {}, section(text, LETTERS[kind])
    while from < to do
      list[#list + 1] = text:match("^%l (%S+)", from)
      from = text:find("\n", from, true) + 1
    end
    return list
  end
  self.errors = filled_once(function(t)
    for name, head in text:gmatch "\ns (%S+) ([^|\n]-%f[%w]error%f[%W][^|\n]*)" do
      local found = decode_error(name, traits(head))
      if found then t[found.code] = found end
    end
  end)
  local by_letters = filled_once(function(t)
    for _, name in ipairs(self.names "operations") do t[name:lower()] = name end
  end)
  function self.operation_named(name)
    local found = self.operations[name] or self.operations[("_" .. name):gsub("_(%w)", string.upper)]
      or self.operations[by_letters[name:gsub("_", "")]]
    return found and (found.name == name or found.snake == name) and found or nil
  end
  return self
end

return M
