// STS and one bucket of S3 over HTTP/2 by node's own server: node http2_aws.js CERT KEY ACCESS_KEY SECRET_KEY. Prints its
// port. It takes a request only in HTTP/2 and with a right signature of Version 4. The first request for an object whose
// key begins with one of the words of FAULTS goes wrong in that way. Objects whose key begins with "together" are not
// given before one connection has asked for as many of them as it may at a time. GET /_seen tells what there was, as JSON.
const crypto = require("crypto"), fs = require("fs"), http2 = require("http2")
const [cert, key, accessKey, secretKey] = process.argv.slice(2)
const { NGHTTP2_REFUSED_STREAM: REFUSED, NGHTTP2_INTERNAL_ERROR: INTERNAL, NGHTTP2_ENHANCE_YOUR_CALM: CALM } = http2.constants
const STREAMS = 5                                            // of a connection at a time
const objects = new Map(), met = new Set(), seen = { sessions: 0, requests: [], refused: [] }, held = []
let together = false

const sha256 = (data) => crypto.createHash("sha256").update(data).digest("hex")
const hmac = (with_key, text) => crypto.createHmac("sha256", with_key).update(text).digest()

function refusal (headers, body) {
  const said = /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d+)\/([^/]+)\/([^/]+)\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=(\w+)$/
    .exec(headers.authorization || "")
  if (!said) return "no signature"
  const [, id, date, region, service, signed, signature] = said
  const [path, query = ""] = headers[":path"].split("?")
  const value = (name) => String(name === "host" ? headers[":authority"] : headers[name]).trim().replace(/ +/g, " ")
  const payload = headers["x-amz-content-sha256"] || sha256(body)
  if (/^[0-9a-f]{64}$/.test(payload) && payload !== sha256(body)) return "another body was signed"
  const lines = signed.split(";").map((name) => name + ":" + value(name) + "\n").join("")
  const canonical = [headers[":method"], path, query.split("&").sort().join("&"), lines, signed, payload].join("\n")
  const scope = [date, region, service, "aws4_request"].join("/")
  const text = ["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, sha256(canonical)].join("\n")
  const signing = scope.split("/").reduce(hmac, "AWS4" + secretKey)
  return id === accessKey && hmac(signing, text).toString("hex") === signature ? null : "a wrong signature"
}

const FAULTS = {
  refused: (stream) => stream.close(REFUSED),
  calm: (stream) => stream.close(CALM),
  broken: (stream) => stream.close(INTERNAL),
  half: (stream) => {                                        // of an answer
    stream.respond({ ":status": 200, "content-length": 1000000 })
    stream.write(Buffer.alloc(300000, "h"), () => setTimeout(() => stream.close(INTERNAL), 50))
  },
  cut: (stream) => {
    stream.respond({ ":status": 200, "content-length": 1000000 })
    const session = stream.session
    stream.write(Buffer.alloc(300000, "h"), () => setTimeout(() => session.destroy(), 50))
  },
  away: (stream) => {                                        // GOAWAY: this request was not looked at
    const session = stream.session
    session.goaway(0, stream.id - 2)
    setTimeout(() => session.destroy(), 50)
  },
}

function answer (stream, headers, body) {
  const path = headers[":path"].split("?")[0], name = path.split("/").pop()
  if (path === "/") {
    stream.respond({ ":status": 200, "content-type": "text/xml", "x-amzn-requestid": "r-1" })
    return stream.end(`<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
      <Account>123456789012</Account><Arn>arn:aws:iam::123456789012:user/u</Arn><UserId>U</UserId></GetCallerIdentityResult>
      <ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></GetCallerIdentityResponse>`)
  }
  const fault = FAULTS[name.split("-")[0]]
  if (fault && !met.has(name)) {
    met.add(name)
    return fault(stream)
  }
  if (headers[":method"] === "PUT") {
    objects.set(path, body)
    stream.respond({ ":status": 200, etag: '"e"' })
    stream.end()
  } else {
    const found = objects.get(path) || Buffer.from("here is " + name)
    const give = () => {
      if (name.startsWith("last")) stream.session.goaway(0, stream.id)  // the client closes it
      stream.respond({ ":status": 200, "content-length": found.length, etag: '"e"' })
      stream.end(found)
    }
    if (!name.startsWith("together")) return give()
    held.push(give)
    stream.session.held = (stream.session.held || 0) + 1
    if (stream.session.held === STREAMS) together = true
    if (together) held.splice(0).forEach((go) => go())
  }
}

const server = http2.createSecureServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key), settings: { maxConcurrentStreams: STREAMS } })
server.on("session", (session) => {
  session.number = ++seen.sessions
  session.on("error", () => {})
})
server.on("stream", (stream, headers) => {
  const parts = []
  stream.on("error", () => {})
  stream.on("data", (part) => parts.push(part))
  stream.on("end", () => {
    if (headers[":path"] === "/_seen") {
      stream.respond({ ":status": 200 })
      return stream.end(JSON.stringify(seen))
    }
    const body = Buffer.concat(parts), why = refusal(headers, body)
    seen.requests.push({ session: stream.session.number, method: headers[":method"], path: headers[":path"], size: body.length })
    if (why) {
      seen.refused.push(why)
      stream.respond({ ":status": 403 })
      return stream.end(`<Error><Code>SignatureDoesNotMatch</Code><Message>${why}</Message></Error>`)
    }
    answer(stream, headers, body)
  })
})
server.listen(0, "127.0.0.1", () => console.log(server.address().port))
