--- Messages of the DNS, as bytes that others write, and what is no message.
local message = require "dns.message"
local test = require "test"

local T = test.cases()

local function bytes(hex) return (hex:gsub("%s+", ""):gsub("%x%x", function(h) return string.char(tonumber(h, 16)) end)) end

-- example.com A, answered by BIND: the name in the answer points back to the question (RFC 1035, 4.1.4)
local ANSWER = bytes [[ 30 39 85 80 00 01 00 02 00 00 00 01  03 77 77 77 07 65 78 61 6d 70 6c 65 03 63 6f 6d 00 00 01 00 01
  c0 0c 00 05 00 01 00 00 00 3c 00 02 c0 10  c0 10 00 01 00 01 00 00 0e 10 00 04 c6 12 07 09  00 00 29 04 d0 00 00 00 00 00 00 ]]

T["pointers lead back to names, and OPT is no record"] = function()
  local m = message.decode(ANSWER)
  test.equal({ m.id, m.response, m.authoritative, m.code, m.edns, #m.additional }, { 12345, true, true, "NOERROR", true, 0 })
  test.equal(m.question, { name = "www.example.com", type = "A" })
  test.equal(m.answers, { { name = "www.example.com", type = "CNAME", ttl = 60, value = "example.com" },
    { name = "example.com", type = "A", ttl = 3600, value = "198.18.7.9" } })
end

T["every type comes back as it was written"] = function()
  local records = {}
  for kind, value in pairs {
    A = "192.0.2.1", AAAA = "2001:db8:0:0:0:0:0:1", NS = "ns-1.awsdns-00.com", CNAME = "a.b", PTR = "a.b", TXT = '"one" "two; three"',
    MX = "10 mail.example.com", SRV = "1 2 5060 sip.example.com", CAA = '0 issue "amazon.com"',
    SOA = "ns.example.com root.example.com 1 7200 900 1209600 86400",
  } do
    records[#records + 1] = { name = "x.example.com", type = kind, ttl = 300, value = value }
  end
  local back = message.decode(message.encode { id = 7, response = true, question = { name = "X.Example.com.", type = "ANY" }, answers = records,
    code = "NXDOMAIN" })
  test.equal({ back.question.name, back.code }, { "x.example.com", "NXDOMAIN" })
  test.equal(back.answers, records)
  local short = message.decode(message.encode { id = 7, question = { name = "a.b", type = "A" },
    answers = { { name = "a.b", type = "AAAA", ttl = 1, value = "::1" } } })
  test.equal(short.answers[1].value, "0:0:0:0:0:0:0:1")
end

T["what is cut off, or turns in a circle, is no message"] = function()
  for size = 0, #ANSWER - 1 do
    test.equal(pcall(message.decode, ANSWER:sub(1, size)), false, size .. " bytes of it")
  end
  local circle = bytes "00 01 00 00 00 01 00 00 00 00 00 00 c0 0c 00 01 00 01"
  test.raises("points forward", message.decode, circle)
  test.raises("unknown kind", message.decode, (bytes "00 01 00 00 00 01 00 00 00 00 00 00 80 00 00 01 00 01"))
  test.raises("longer than 63", message.encode, { id = 1, question = { name = ("a"):rep(64) .. ".b", type = "A" } })
end

return T
