--- P-256 keys and signatures; tests/conformance/credentials_test.lua has them verified by another library.
local test = require "test"
local ec = require "host.ec"
local secret = require "secret"
local sign = require "sign"
local T = test.cases()

-- the key of RFC 6979, A.2.5, in the form of RFC 5915
local PEM = "-----BEGIN EC PRIVATE KEY-----\n"
  .. sign.base64(sign.unhex "30310201010420C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721A00A06082A8648CE3D030107")
  .. "\n-----END EC PRIVATE KEY-----\n"

T["the point of a key is the one of RFC 6979"] = function()
  local x, y = ec.point(PEM)
  test.equal({ sign.hex(x):upper(), sign.hex(y):upper() }, { "60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6",
                                                             "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299" })
  test.equal(ec.point(secret.new(PEM)), x)
end

T["a signature is r and s, 64 bytes, another each time"] = function()
  local one, two = ec.sign(PEM, "words"), ec.sign(secret.new(PEM), secret.new "words")
  test.equal({ #one, #two }, { 64, 64 })
  test.truthy(one ~= two)
end

T["what is no P-256 key is an error; wrong arguments raise"] = function()
  for _, text in ipairs { "", "no key", "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n" } do
    for _, fn in ipairs { ec.point, ec.sign } do
      local value, err = fn(text, "words")
      test.equal({ value, err.kind }, { nil, "invalid" })
    end
  end
  test.raises("string or secret", ec.point, {})
  test.raises("string or secret", ec.sign, PEM)
end

return T
