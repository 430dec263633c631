--- Lines for people, broken between words.
local test = require "test"
local width = require "host.width"
local wrap = require "wrap"
local T = test.cases()

local SUBNET = '  + aws.subnet "shop-private-a"  cidr 10.40.128.0/20, zone us-east-1a, public false, vpc (known after apply)'

T["a plan's line goes on below its title, two columns to the right"] = function()
  test.equal(wrap.line(SUBNET, 80), {
    '  + aws.subnet "shop-private-a"  cidr 10.40.128.0/20, zone us-east-1a, public',
    "      false, vpc (known after apply)",
  })
  test.equal(wrap.line(SUBNET, 40), {
    '  + aws.subnet "shop-private-a"  cidr',
    "      10.40.128.0/20, zone us-east-1a,",
    "      public false, vpc (known after",
    "      apply)",
  })
  test.equal(wrap.line(SUBNET, 120), { SUBNET })
  test.equal(wrap.line("-/+ aws.instance shop  (another image replaces the machine)", 30)[2], "      (another image replaces")
end

T["a sentence goes on two columns to the right of where it began"] = function()
  test.equal(wrap.line("    one two three four five six seven", 26), { "    one two three four", "      five six seven" })
  test.equal(wrap.text("warning: one two three\n\nfour five six seven eight", 16), "warning: one two\n  three\n\nfour five six\n  seven eight")
  test.equal(wrap.text("warning: one two three", nil), "warning: one two three")
end

T["what is longer than a line stands over, and is whole"] = function()
  local arn = "arn:aws:sns:us-east-1:123456789012:" .. ("a"):rep(60)
  test.equal(wrap.line("  + aws.topic created (" .. arn .. ") and used", 40), { "  + aws.topic created", "      (" .. arn .. ")", "      and used" })
  test.equal(wrap.line("  - " .. arn, 40), { "  - " .. arn }, "not alone below its mark")
end

T["wide characters take two columns, combining ones none, colours none"] = function()
  local wide, combining = "\u{5E93} \u{5B58}\u{50A8} \u{7F51}\u{7EDC}", "e\u{301}te\u{301} e\u{301}te\u{301} a\u{300} b"
  test.equal(wrap.line(wide, 12), { wide })
  test.equal(wrap.line(wide, 11), { "\u{5E93} \u{5B58}\u{50A8}", "  \u{7F51}\u{7EDC}" })
  test.equal(wrap.line(combining, 11), { combining })
  test.equal(wrap.line(combining, 10), { "e\u{301}te\u{301} e\u{301}te\u{301} a\u{300}", "  b" })
  test.equal(wrap.line("\27[1mone two\27[0m three", 13), { "\27[1mone two\27[0m three" })
  test.equal(wrap.line("\27[32m  +\27[0m one two three four", 20), { "\27[32m  +\27[0m one two three", "  four" })
end

T["writing without spaces is broken where it must be, and no character is lost"] = function()
  local text = "  ~ " .. ("\u{6F22}\u{5B57}\u{304B}\u{3099}"):rep(20) .. " end"      -- the last is a letter with its mark
  for columns = 20, 130 do
    local lines = wrap.line(text, columns)
    for _, line in ipairs(lines) do
      test.truthy(width.of(line) <= columns, line)
      test.truthy(utf8.len(line) and not line:find "^%s*\u{3099}", line)
    end
    test.equal((table.concat(lines):gsub("%s", "")), (text:gsub("%s", "")))
  end
end

return T
