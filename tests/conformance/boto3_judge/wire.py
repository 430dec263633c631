"""Responses as a service would write them, in each protocol, and bodies of requests as values that can be compared.

Written from the protocols' documentation, so that the two clients under test are the only ones that share no code with it.
"""
import base64
import datetime
import email.utils
import hashlib
import json
import math
import re
import struct
import urllib.parse
import xml.etree.ElementTree as ElementTree
import zlib
from xml.sax.saxutils import escape, quoteattr

from values import UTC, is_document, location


# scalars ------------------------------------------------------------------

def seconds(at):
    value = (at - datetime.datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    return int(value) if value == int(value) else value


def stamp(at, kind):
    if kind == "unixTimestamp":
        return seconds(at)
    if kind == "rfc822":
        return email.utils.format_datetime(at.replace(microsecond=0), usegmt=True)
    return at.strftime("%Y-%m-%dT%H:%M:%S") + (".%03d" % (at.microsecond // 1000) if at.microsecond else "") + "Z"


def number(value):
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else "Infinity" if value == math.inf else "-Infinity" if value == -math.inf else repr(value)
    return str(value)


def text_of(shape, value, time_format="iso8601"):
    kind = shape.type_name
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "timestamp":
        return str(stamp(value, shape.serialization.get("timestampFormat", time_format)))
    if kind == "blob":
        return base64.b64encode(value).decode()
    return number(value) if kind in ("integer", "long", "float", "double") else value


# XML ----------------------------------------------------------------------

class Xml:
    """In the mode "sparse" it writes what a reader must put up with: unknown elements, comments, CDATA, blanks."""

    def __init__(self, mode):
        self.mode = mode

    def write(self, shape, value, name):
        kind, flat = shape.type_name, shape.serialization.get("flattened")
        if kind == "structure":
            attributes, inner = self.members(shape, value)
            return "<%s%s>%s</%s>" % (name, attributes, inner, name)
        if kind == "list":
            item = shape.member.serialization.get("name")
            inner = "".join(self.write(shape.member, v, (item or name) if flat else (item or "member")) for v in value)
        elif kind == "map":
            key, val = shape.key.serialization.get("name", "key"), shape.value.serialization.get("name", "value")
            entry = name if flat else "entry"
            inner = "".join("<%s>%s%s</%s>" % (entry, self.write(shape.key, k, key), self.write(shape.value, v, val), entry)
                            for k, v in value.items())
        else:
            text = text_of(shape, value)
            if self.mode == "sparse" and kind == "string" and "]]>" not in text and text.strip():
                return "<%s><![CDATA[%s]]></%s>" % (name, text, name)
            return "<%s>%s</%s>" % (name, escape(text), name) if text else "<%s/>" % name
        return inner if flat else "<%s>%s</%s>" % (name, inner, name) if inner else "<%s />" % name

    def members(self, shape, value):
        attributes, parts = "", []
        for m, v in value.items():
            member = shape.members[m]
            if location(member):
                continue
            wire = member.serialization.get("name", m)
            if member.serialization.get("xmlAttribute"):
                attributes += ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" %s=%s' % (wire, quoteattr(v))
            else:
                parts.append(self.write(member, v, wire))
        if self.mode == "sparse":
            return attributes, "\n  <!-- <no/> -->" + "\n  ".join(parts + ["<hkrunUnknown a='1'><member>x</member></hkrunUnknown>"]) + "\n"
        return attributes, "".join(parts)


# JSON and CBOR ------------------------------------------------------------

def tree_of(shape, value, mode, keep=lambda shape, value: value):
    """A result as the tree of values that JSON or CBOR carries; keep(shape, value) writes what is not the same in both."""
    kind = shape.type_name
    if kind == "structure" and not is_document(shape):
        tree = {shape.members[m].serialization.get("name", m): tree_of(shape.members[m], v, mode, keep)
                for m, v in value.items() if not location(shape.members[m])}
        if mode == "sparse":
            if not getattr(shape, "is_tagged_union", False):
                tree["hkrunUnknown"] = {"a": [1, {"b": "c"}], "n": None}
            for m, s in shape.members.items():
                if m not in value and not location(s) and not getattr(shape, "is_tagged_union", False):
                    tree[s.serialization.get("name", m)] = None
        return tree
    if kind == "list":
        return [tree_of(shape.member, v, mode, keep) for v in value]
    if kind == "map":
        return {k: tree_of(shape.value, v, mode, keep) for k, v in value.items()}
    return keep(shape, value)


def json_scalar(shape, value):
    kind = shape.type_name
    if kind == "timestamp":
        return stamp(value, shape.serialization.get("timestampFormat", "unixTimestamp"))
    if kind == "blob":
        return base64.b64encode(value).decode()
    if kind in ("float", "double") and not math.isfinite(value):
        return number(value)
    return value


def json_of(shape, value, mode):
    return json.dumps(tree_of(shape, value, mode, json_scalar), ensure_ascii=mode == "full", indent=1 if mode == "sparse" else None).encode()


def cbor_scalar(shape, value):
    return Tagged(1, seconds(value)) if shape.type_name == "timestamp" else value


class Tagged:
    def __init__(self, tag, value):
        self.tag, self.value = tag, value


def head(major, n):
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 24:
            return bytes([major << 5 | n])
        if n < 1 << 8 * size:
            return bytes([major << 5 | code]) + n.to_bytes(size, "big")
    raise OverflowError(n)


def cbor(value, open_ended=False):
    """CBOR (RFC 8949); open_ended writes lists, maps and strings of indefinite length."""
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", False: b"\xf4", True: b"\xf5"}[value]
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, float):
        short = struct.pack(">f", value) if abs(value) < 3e38 or not math.isfinite(value) else None
        if short and (struct.unpack(">f", short)[0] == value or math.isnan(value)):
            return b"\xfa" + short
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, (bytes, str)):
        raw, major = (value, 2) if isinstance(value, bytes) else (value.encode(), 3)
        if open_ended and len(value) > 1:
            half = value[:1] if isinstance(value, bytes) else value[:1].encode()
            return bytes([major << 5 | 31]) + head(major, len(half)) + half + head(major, len(raw) - len(half)) + raw[len(half):] + b"\xff"
        return head(major, len(raw)) + raw
    if isinstance(value, Tagged):
        return head(6, value.tag) + cbor(value.value)
    if isinstance(value, list):
        inner = b"".join(cbor(v, open_ended) for v in value)
        return b"\x9f" + inner + b"\xff" if open_ended else head(4, len(value)) + inner
    inner = b"".join(cbor(k) + cbor(v, open_ended) for k, v in value.items())
    return b"\xbf" + inner + b"\xff" if open_ended else head(5, len(value)) + inner


def read_cbor(raw, at=0):
    """A value and where it ends. Sizes are known: neither client writes indefinite lengths."""
    major, n = raw[at] >> 5, raw[at] & 31
    at += 1
    size = {24: 1, 25: 2, 26: 4, 27: 8}.get(n, 0)
    if major == 7:
        if n in (20, 21, 22):
            return {20: False, 21: True, 22: None}[n], at
        return struct.unpack({25: ">e", 26: ">f", 27: ">d"}[n], raw[at:at + size])[0], at + size
    if size:
        n, at = int.from_bytes(raw[at:at + size], "big"), at + size
    if major == 0:
        return n, at
    if major == 1:
        return -1 - n, at
    if major in (2, 3):
        part = raw[at:at + n]
        return (part if major == 2 else part.decode()), at + n
    if major == 6:
        value, at = read_cbor(raw, at)
        return {"tag": n, "value": value}, at
    if major == 4:
        items = []
        for _ in range(n):
            value, at = read_cbor(raw, at)
            items.append(value)
        return items, at
    found = {}
    for _ in range(n):
        key, at = read_cbor(raw, at)
        found[key], at = read_cbor(raw, at)
    return found, at


# responses ----------------------------------------------------------------

def header_text(shape, value):
    if shape.serialization.get("jsonvalue"):
        return base64.b64encode(value.encode()).decode()
    if shape.type_name == "list":
        return ",".join('"%s"' % v.replace('"', '\\"') if "," in v else v
                        for v in (text_of(shape.member, v, "rfc822") for v in value))
    return text_of(shape, value, "rfc822")


def place_headers(shape, value, headers):
    """Puts members into headers; not those that speak about the body as it is sent, and must be true."""
    status = 200
    for name, v in value.items():
        member = shape.members[name]
        wire, place = member.serialization.get("name", name), location(member)
        if wire.lower() in ("content-length", "content-encoding", "transfer-encoding") or wire.startswith("x-amz-checksum-"):
            continue
        if place == "header":
            headers[wire] = header_text(member, v)
        elif place == "headers":
            headers.update({wire + k: x for k, x in v.items()})
        elif place == "statusCode":
            value[name] = status
    return status


def success(protocol, op, value, mode):
    """(status, headers, body) of a good answer."""
    shape, headers = op.output_shape, {"x-amzn-requestid": "id-1"}
    status = place_headers(shape, value, headers) if shape and protocol.startswith("rest") else 200
    xml = Xml(mode)
    if protocol in ("query", "ec2"):
        headers["Content-Type"] = "text/xml"
        attributes, inner = xml.members(shape, value) if shape else ("", "")
        wrapper = shape.serialization.get("resultWrapper") if shape else None
        if wrapper:
            inner = "<%s%s>%s</%s>" % (wrapper, attributes, inner, wrapper)
        tail = "<requestId>id-1</requestId>" if protocol == "ec2" else "<ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata>"
        return status, headers, ('<?xml version="1.0"?><%sResponse xmlns="urn:x">%s%s</%sResponse>' % (op.name, inner, tail, op.name)).encode()
    if protocol == "json":
        headers["Content-Type"] = "application/x-amz-json-1.1"
        return status, headers, json_of(shape, value, mode) if shape else b"{}"
    if protocol == "smithy-rpc-v2-cbor":
        headers.update({"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"})
        return status, headers, cbor(tree_of(shape, value, mode, cbor_scalar), mode == "sparse") if shape else b""
    if not shape:
        return status, headers, b""
    payload = shape.serialization.get("payload")
    target, what = (shape.members[payload], value.get(payload)) if payload else (shape, value)
    if payload and what is None:
        return status, headers, b""
    if target.type_name in ("blob", "string"):
        return status, headers, what if isinstance(what, bytes) else what.encode()
    if protocol == "rest-json":
        headers["Content-Type"] = "application/json"
        return status, headers, json_of(target, what, mode)
    headers["Content-Type"] = "application/xml"
    if op.name == "GetBucketLocation":              # the one answer whose root element is its member
        return status, headers, b"<LocationConstraint>%s</LocationConstraint>" % what.get("LocationConstraint", "").encode()
    return status, headers, ('<?xml version="1.0"?>' + xml.write(target, what, target.serialization.get("name", payload or op.name + "Result"))).encode()


def failure(protocol, service_model, code, shape, value):
    """(status, headers, body) of a bad answer with the members of its shape, if the model has one."""
    status = (shape.metadata.get("error", {}).get("httpStatusCode") if shape else None) or 400
    if not 400 <= status < 500 or status in (429, 408):
        status = 400
    headers = {"x-amzn-requestid": "id-1"}
    rest = {m: v for m, v in value.items() if m.lower() not in ("message", "code")}
    if shape and protocol.startswith("rest"):
        place_headers(shape, rest, headers)
    if protocol in ("query", "ec2", "rest-xml"):
        headers["Content-Type"] = "text/xml"
        inner = Xml("full").members(shape, rest)[1] if shape else ""
        if protocol == "ec2":
            text = "<Response><Errors><Error><Code>%s</Code><Message>M &amp; m</Message></Error></Errors><RequestID>id-1</RequestID></Response>" % code
        elif service_model.metadata.get("serviceId") == "S3":
            headers["x-amz-request-id"] = "id-1"
            text = "<Error><Code>%s</Code><Message>M &amp; m</Message>%s<RequestId>id-1</RequestId><HostId>h</HostId></Error>" % (code, inner)
        else:
            text = ("<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>M &amp; m</Message>%s</Error>"
                    "<RequestId>id-1</RequestId></ErrorResponse>" % (code, inner))
        return status, headers, text.encode()
    spelling = "Message" if shape and "Message" in shape.members else "message"
    if protocol == "smithy-rpc-v2-cbor":
        headers.update({"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"})
        tree = tree_of(shape, rest, "full", cbor_scalar) if shape else {}
        tree.update({"__type": "com.amazonaws#" + code, spelling: "M & m"})
        return status, headers, cbor(tree)
    tree = tree_of(shape, rest, "full", json_scalar) if shape else {}
    tree[spelling] = "M & m"
    if protocol == "rest-json":
        headers.update({"Content-Type": "application/json", "x-amzn-errortype": code + ":http://internal.amazon.com/coral/"})
    else:
        headers["Content-Type"] = "application/x-amz-json-1.1"
        tree["__type"] = "com.amazonaws#" + code
        if service_model.metadata.get("awsQueryCompatible") is not None:
            headers["x-amzn-query-error"] = "AWS.Old%s;Sender" % code
    return status, headers, json.dumps(tree).encode()


# bodies of requests as values ---------------------------------------------

def crc32(body):
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


def md5(body):
    return base64.b64encode(hashlib.md5(body).digest()).decode()


UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


NO_FRACTION = re.compile(r"(?<=T\d\d:\d\d:\d\d)\.000(?=Z)")


def without_tokens(text):
    """Tokens that both clients make up become the same word, a second without a fraction is written in one way."""
    return NO_FRACTION.sub("", UUID.sub("(a new UUID)", text))


def form(text):
    return sorted((name, presigned(value)) for name, value in urllib.parse.parse_qsl(text, keep_blank_values=True))


def presigned(value):
    """A URL with a signature, as what it asks for: the order of its query, its time and its signature are each client's own."""
    place, _, query = value.partition("?")
    if "X-Amz-Signature=" not in query:
        return value
    return [place, [pair for pair in form(query) if pair[0] not in ("X-Amz-Date", "X-Amz-Signature")]]


def canonical(node):
    """An element in which the order of siblings and attributes does not matter: the models do not fix it."""
    text = node.text or ""
    return [node.tag, sorted(node.attrib.items()), text if text.strip() or not len(node) else "", sorted((canonical(c) for c in node), key=repr)]


def hashable(value):
    """NaN equals NaN, 1 does not equal True, 1.0 is 1."""
    if isinstance(value, dict):
        return {k: hashable(v) for k, v in value.items()}
    if isinstance(value, list):
        return [hashable(v) for v in value]
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, float):
        return repr(int(value)) if math.isfinite(value) and value == int(value) else repr(value)
    return without_tokens(value) if isinstance(value, str) else "bytes " + value.hex() if isinstance(value, bytes) else repr(value)


def body_value(body, content_type):
    if "cbor" in content_type and body:
        return hashable(read_cbor(body)[0])
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return body.hex()
    if "urlencoded" in content_type:
        return form(without_tokens(text))
    if "json" in content_type or text[:1] == "{":
        try:
            return hashable(json.loads(text))
        except ValueError:
            return text
    if text[:1] == "<":
        try:
            return canonical(ElementTree.fromstring(without_tokens(text)))
        except ElementTree.ParseError:
            return text
    return without_tokens(text)
