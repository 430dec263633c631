"""Arguments and results made from the shapes of a service's model.

A Maker counts as it goes, so that each value differs from the last. Its mode says what it makes:

    full      every member down to a depth, lists of two, strings with reserved characters, all 256 bytes, fractions of seconds
    required  only what the model requires
    sparse    every second member; lists and maps with nothing in them
    edge      every member, each at an end of its range: nothing in it, very large, negative, not ASCII, not a number
"""
import datetime

DEPTH = 4
UTC = datetime.timezone.utc
STRINGS = ["v%d", "a b+%d", "x=%d&y", "k/%d", "é<%d>\"'", "%%%d,;", "~%d*()!", "[%d]{@:$?#}"]
EDGE_STRINGS = ["", " %d ", "日本\u0301 \U0001f600 %d", "null", "line\ttab %d", "\\\"%d\u00a0\u2028"]
LABELS = ["a b/%d", "x?%d&y=z", "é+%d", "100%%%d~", "a:b@%d;c,d", "%d!*'()[]"]
HEADERS = ["value-%d", "a, \"b\" %d", "%d;q=1"]
ALL_BYTES = bytes(range(256))


def location(shape):
    return shape.serialization.get("location")


def is_document(shape):
    return getattr(shape, "is_document_type", False)


class Maker:
    def __init__(self, mode, left_out=(), results=False):
        self.mode, self.left_out, self.results, self.count, self.in_header = mode, left_out, results, 0, False

    def make(self, shape, depth=0, name="", stack=()):
        self.count += 1
        if shape.serialization.get("jsonvalue") and location(shape) == "header":
            return {"e": [1, None, "b"]} if not self.results else '{"a":1}'
        return getattr(self, "make_" + shape.type_name, self.make_scalar)(shape, depth, name, stack)

    def make_structure(self, shape, depth, name, stack):
        if is_document(shape):
            return [{"any": [1, "two", {"three": 3.5}]}, "text", 17, ["é", False], {}][self.count % 5]
        inner = stack + (shape.name,)
        members = [m for m, s in shape.members.items() if m not in self.left_out or m in shape.required_members]
        if getattr(shape, "is_tagged_union", False):
            ends = [m for m in members if shape.members[m].name not in inner and shape.members[m].type_name != "list"]
            members = [(ends or members)[self.count % len(ends or members)]]
        elif self.mode == "required" or shape.name in stack or depth >= DEPTH:
            members = list(shape.required_members)
        elif self.mode == "sparse":
            kept = (shape.serialization.get("payload"),) + tuple(shape.required_members if not self.results else ())
            members = [m for i, m in enumerate(members) if i % 2 == self.count % 2 or m in kept]
        return {m: self.make(shape.members[m], depth + 1, m, inner) for m in members
                if not getattr(shape.members[m], "is_event_stream", False) and not shape.members[m].serialization.get("eventstream")}

    def make_list(self, shape, depth, name, stack):
        least = shape.metadata.get("min", 0)
        wanted = 2 if self.mode == "full" and depth < DEPTH else 1 if self.mode == "edge" and self.count % 2 else 0
        if getattr(shape.member, "name", None) in stack and shape.member.type_name == "structure":
            wanted = 0
        if location(shape) in ("header", "querystring"):
            wanted = max(wanted, 1)
        self.in_header = location(shape) == "header"
        found = [self.make(shape.member, depth + 1, name, stack) for _ in range(max(least, min(wanted, shape.metadata.get("max", 9))))]
        self.in_header = False
        return found

    def make_map(self, shape, depth, name, stack):
        if location(shape) == "headers":
            return {"one": "first", "Two": "second"}
        wanted = 2 if self.mode == "full" and depth < DEPTH else 1 if self.mode == "edge" and self.count % 2 else 0
        if shape.value.name in stack:
            wanted = 0
        keys = []
        for _ in range(max(shape.metadata.get("min", 0), wanted)):
            keys.append(self.make(shape.key, depth + 1))
        # In order, because the form protocols number what has no order.
        return {k or "k": self.make(shape.value, depth + 1, name, stack) for k in sorted(keys, key=str.encode)}

    def text(self, shape, name, n):
        if shape.enum:
            return shape.enum[n % len(shape.enum)]
        place = location(shape)
        if name == "Bucket":
            return "bucket-%d" % n
        if shape.serialization.get("hostLabel"):
            return "label-%d" % n
        if place == "uri":
            text = LABELS[n % len(LABELS)] % n
        elif place == "header" or self.in_header:
            text = HEADERS[n % len(HEADERS)] % n
        else:
            kinds = EDGE_STRINGS if self.mode == "edge" else STRINGS
            text = kinds[n % len(kinds)]
            text = text % n if "%" in text else text
        return text + "z" * (shape.metadata.get("min", 0) - len(text))

    def make_scalar(self, shape, _depth, name, _stack):
        n, kind, edge = self.count, shape.type_name, self.mode == "edge"
        least, most = shape.metadata.get("min"), shape.metadata.get("max")
        if kind in ("string", "character"):
            return self.text(shape, name, n)
        if kind in ("integer", "long"):
            ends = [0, -1, -2**31, 2**31 - 1] + ([2**53 + 1, 2**63 - 1, -2**63] if kind == "long" else [])
            return int(within(ends[n % len(ends)] if edge else n, least, most))
        if kind in ("float", "double"):
            ends = [0.0, -2.5, 1e-7, 1.5e21, float("nan"), float("inf"), float("-inf"), 0.1] if kind == "double" else [0.0, -2.5, 65536.25]
            if least is not None or most is not None:
                ends = [-2.5, 0.5]
            return float(within(ends[n % len(ends)] if edge else n + 0.25, least, most))
        if kind == "boolean":
            return n % 2 == 0
        if kind == "timestamp":
            at = [0, 1, -86400 * 3650, 4102444800][n % 4] if edge else 1700000000 + n
            return datetime.datetime(1970, 1, 1, tzinfo=UTC) + datetime.timedelta(
                seconds=at, milliseconds=123 if self.mode == "full" and self.results and n % 2 else 0)
        if kind == "blob":
            text = b"" if edge and n % 2 else ALL_BYTES if n % 2 else b"blob \x01 %d" % n
            return text + b"z" * (shape.metadata.get("min", 0) - len(text))
        raise AssertionError(kind)


def within(value, least, most):
    if least is not None and not value >= least:
        value = least
    if most is not None and not value <= most:
        value = most
    return value


def plain(value):
    """As JSON that Lua can read back: bytes, times and odd numbers are marked."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (bytes, bytearray)):
        return {"$bytes": bytes(value).hex()}
    if isinstance(value, datetime.datetime):
        return {"$time": (value - datetime.datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()}
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return {"$number": repr(value)}
    if hasattr(value, "read"):
        return {"$bytes": value.read().hex()}
    assert value is None or isinstance(value, (str, int, float, bool)), value
    return value
