--- The AWS Price List Query API in the rehearsal: products in the shape of AWS's price list, of a few services and two
--- regions. The figures are AWS's own of 2026 (services/pricing/catalog.lua); what is not there has no product.
local catalog = require "rehearsal.services.pricing.catalog"
local json = require "json"
local sign = require "sign"
local wire = require "rehearsal.wire"

local S = {}

local ON_DEMAND, HOURLY = "JRTCKXETXF", "6YS6EN2CT7"   -- AWS's codes: the offer "on demand", and its first price
local PUBLISHED = "2026-10-02T00:00:00Z"
local PAGE = 100

local function sku(product)
  local a = product.attributes
  return sign.sha256(product.serviceCode .. a.usagetype .. a.regionCode):sub(1, 16):upper()
end

--- Every product, as attributes with the price beside them.
local function products()
  local list = {}
  for _, row in ipairs(catalog.rows) do
    for _, region in ipairs(catalog.regions) do
      local price = row.prices[region.code]
      if price then
        local attributes = { servicecode = row.service, regionCode = region.code, location = region.name, locationType = "AWS Region",
                             usagetype = region.prefix .. row.usage }
        for name, value in pairs(row.attributes) do attributes[name] = value end
        list[#list + 1] = { serviceCode = row.service, family = row.family, unit = row.unit, price = price, attributes = attributes }
      end
    end
  end
  return list
end

local function value_of(product, field)
  if field == "productFamily" then return product.family end
  if field == "sku" then return sku(product) end
  return product.attributes[field]
end

local function one_of(value, list)
  for word in list:gmatch "[^,]+" do
    if word:match "^%s*(.-)%s*$" == value then return true end
  end
  return false
end

local MATCHES = {
  TERM_MATCH = function(value, wanted) return value:lower() == wanted:lower() end,
  EQUALS = function(value, wanted) return value == wanted end,
  CONTAINS = function(value, wanted) return value:find(wanted, 1, true) ~= nil end,
  ANY_OF = one_of,
  NONE_OF = function(value, wanted) return not one_of(value, wanted) end,
}

local function fits(product, filters)
  for _, filter in ipairs(filters or {}) do
    local value = value_of(product, filter.Field)
    if not value or not MATCHES[filter.Type](value, filter.Value) then return false end
  end
  return true
end

--- A product as the JSON that AWS answers.
local function item(product)
  local id = sku(product)
  local offer = id .. "." .. ON_DEMAND
  local rate = offer .. "." .. HOURLY
  return json.encode({
    product = { productFamily = product.family, attributes = product.attributes, sku = id }, serviceCode = product.serviceCode,
    terms = { OnDemand = { [offer] = { sku = id, offerTermCode = ON_DEMAND, effectiveDate = PUBLISHED, termAttributes = {},
      priceDimensions = { [rate] = { rateCode = rate, unit = product.unit, beginRange = "0", endRange = "Inf", appliesTo = json.array {},
        description = ("$%s per %s"):format(product.price, product.unit), pricePerUnit = { USD = product.price } } } } } },
    version = "20261002000000", publicationDate = PUBLISHED,
  }, { sort = true })
end

local function of_service(code)
  local list = {}
  for _, product in ipairs(products()) do
    if product.serviceCode == code then list[#list + 1] = product end
  end
  if #list == 0 then wire.fail("NotFoundException", 400, "The specified service code is not valid: %s", code) end
  return list
end

function S.GetProducts(cloud, p)
  local list = {}
  for _, product in ipairs(of_service(p.ServiceCode)) do
    if fits(product, p.Filters) then list[#list + 1] = item(product) end
  end
  local page, token = cloud.page(list, p.NextToken, p.MaxResults or PAGE)
  return { FormatVersion = "aws_v1", PriceList = page, NextToken = token }
end

--- The names of the attributes of a service's products, in order.
local function attribute_names(code)
  local seen, names = { productFamily = true }, { "productFamily" }
  for _, product in ipairs(of_service(code)) do
    for name in pairs(product.attributes) do
      if not seen[name] then names[#names + 1] = name end
      seen[name] = true
    end
  end
  table.sort(names)
  return names
end

function S.DescribeServices(cloud, p)
  local codes, seen = {}, {}
  for _, row in ipairs(catalog.rows) do
    if not seen[row.service] and (not p.ServiceCode or p.ServiceCode == row.service) then codes[#codes + 1] = row.service end
    seen[row.service] = true
  end
  if p.ServiceCode and #codes == 0 then of_service(p.ServiceCode) end
  table.sort(codes)
  local list = {}
  for i, code in ipairs(codes) do list[i] = { ServiceCode = code, AttributeNames = attribute_names(code) } end
  local page, token = cloud.page(list, p.NextToken, p.MaxResults or PAGE)
  return { FormatVersion = "aws_v1", Services = page, NextToken = token }
end

function S.GetAttributeValues(cloud, p)
  local seen, values = {}, {}
  for _, product in ipairs(of_service(p.ServiceCode)) do
    local value = value_of(product, p.AttributeName)
    if value and not seen[value] then values[#values + 1] = value end
    if value then seen[value] = true end
  end
  if #values == 0 then wire.fail("NotFoundException", 400, "The specified attribute is not valid: %s", p.AttributeName) end
  table.sort(values)
  local list = {}
  for i, value in ipairs(values) do list[i] = { Value = value } end
  local page, token = cloud.page(list, p.NextToken, p.MaxResults or PAGE)
  return { AttributeValues = page, NextToken = token }
end

return S
