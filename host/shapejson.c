/* graph:json(name, body) -> value | nil, err: reads JSON (RFC 8259, UTF-8) into the tables of a shape, without a tree in
   between. Members that the shape does not have are passed over, but must be JSON. Integers keep their 64 bits; null is
   nothing in a struct and json.null in a list or a map; of two members of one name the last counts. */
#include "shape.h"

#include <stdio.h>
#include <string.h>

typedef struct Reader {
  lua_State *L;
  Shapes g;
  const char *start, *at, *end;
  const char *wrong;                                /* what is wrong at `at`; a literal */
  int results;                                      /* of a failure that is on the stack already */
  int depth, careful;
  HostBuf *text;                                    /* a string with escapes, decoded */
} Reader;

typedef struct Text { const char *s; size_t length; } Text;

static const Member NOTHING;                        /* passes a value over */

static int read_value (Reader *r, const Member *member, int hidden);

static int refuse (Reader *r, const char *what) {
  if (r->wrong == NULL) r->wrong = what;
  return 0;
}

static void skip_space (Reader *r) {
  while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t')) r->at++;
}

static int peek (Reader *r) {
  skip_space(r);
  return r->at < r->end ? (unsigned char)*r->at : -1;
}

static int expect (Reader *r, char c, const char *what) {
  if (peek(r) != c) return refuse(r, what);
  r->at++;
  return 1;
}

/* ---- strings ---- */

static int hex4 (Reader *r, unsigned *code) {
  *code = 0;
  if (r->end - r->at < 4) return refuse(r, "an escape is cut off");
  for (int i = 0; i < 4; i++) {
    char c = *r->at++;
    unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : (c | 32) >= 'a' && (c | 32) <= 'f' ? (unsigned)((c | 32) - 'a' + 10) : 16;
    if (digit == 16) return refuse(r, "an escape is not hexadecimal");
    *code = *code << 4 | digit;
  }
  return 1;
}

static int add_unicode (Reader *r) {                /* after \u */
  unsigned code, low;
  char bytes[4];
  size_t count;
  if (!hex4(r, &code)) return 0;
  if (code >= 0xD800 && code < 0xE000) {
    if (code >= 0xDC00 || r->end - r->at < 6 || r->at[0] != '\\' || r->at[1] != 'u') return refuse(r, "half of a surrogate pair");
    r->at += 2;
    if (!hex4(r, &low)) return 0;
    if (low < 0xDC00 || low >= 0xE000) return refuse(r, "half of a surrogate pair");
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  }
  if (code < 0x80) bytes[0] = (char)code, count = 1;
  else if (code < 0x800) bytes[0] = (char)(0xC0 | code >> 6), count = 2;
  else if (code < 0x10000) bytes[0] = (char)(0xE0 | code >> 12), count = 3;
  else bytes[0] = (char)(0xF0 | code >> 18), count = 4;
  for (size_t i = 1; i < count; i++) bytes[i] = (char)(0x80 | (code >> 6 * (count - 1 - i) & 0x3F));
  host_buf_add(r->L, r->text, bytes, count);
  return 1;
}

static int add_escape (Reader *r) {                 /* after the backslash */
  static const char FROM[] = "\"\\/bfnrt", TO[] = "\"\\/\b\f\n\r\t";
  if (r->at == r->end) return refuse(r, "a string is cut off");
  char c = *r->at++;
  if (c == 'u') return add_unicode(r);
  const char *found = c != '\0' ? strchr(FROM, c) : NULL;
  if (found == NULL) return refuse(r, "an escape that JSON does not have");
  host_buf_char(r->L, r->text, TO[found - FROM]);
  return 1;
}

/* A string at the quote; without escapes it is where it stands, else in r->text until the next string is read. */
static int read_string (Reader *r, Text *text) {
  const char *from = ++r->at;
  unsigned char high = 0;
  int escaped = 0;
  for (;; r->at++) {
    if (r->at == r->end) return refuse(r, "a string is cut off");
    unsigned char c = (unsigned char)*r->at;
    if (c == '"') break;
    if (c < 0x20) return refuse(r, "a control character in a string");
    high |= c;
    if (c != '\\') continue;
    if (!escaped) host_buf_clear(r->text);
    escaped = 1;
    host_buf_add(r->L, r->text, from, (size_t)(r->at++ - from));
    if (!add_escape(r)) return 0;
    from = r->at--;
  }
  if (escaped) host_buf_add(r->L, r->text, from, (size_t)(r->at - from));
  *text = escaped ? (Text){r->text->bytes, r->text->length} : (Text){from, (size_t)(r->at - from)};
  if (text->length == 0) text->s = "";
  r->at++;
  if (high >= 0x80 && !host_utf8_valid(text->s, text->length)) return refuse(r, "a string is not UTF-8");
  return 1;
}

/* ---- scalars ---- */

static int mismatch (Reader *r, const Member *member, const char *what) {
  ShapeKind kind = member->shape->kind;
  r->results = host_fail(r->L, "protocol", NULL, 0, "the answer's %s is %s, not of type %s", shape_member_name(r->L, &r->g, member),
                         what, shape_kind_name(kind));
  return refuse(r, "");
}

/* a value of no shape: a document's, or one that is passed over */
static ShapeKind kind_of (const Member *member) { return member->shape == NULL ? SHAPE_DOCUMENT : member->shape->kind; }

static int string_value (Reader *r, const Member *member, int hidden) {
  Text text;
  ShapeKind kind = kind_of(member);
  if (!read_string(r, &text)) return 0;
  if (member == &NOTHING) return 1;
  if (kind == SHAPE_DOCUMENT) kind = SHAPE_STRING;
  if (kind < SHAPE_DOCUMENT || kind == SHAPE_BOOL) return mismatch(r, member, "a string");
  if (shape_push_text(r->L, kind, text.s, text.length, hidden)) return 1;
  if (hidden || text.length > 40) return mismatch(r, member, "a string");
  lua_pushliteral(r->L, "\"");
  lua_pushlstring(r->L, text.s, text.length);
  lua_pushliteral(r->L, "\"");
  lua_concat(r->L, 3);
  return mismatch(r, member, lua_tostring(r->L, -1));
}

static int digits (Reader *r) {
  const char *from = r->at;
  while (r->at < r->end && *r->at >= '0' && *r->at <= '9') r->at++;
  return r->at > from;
}

static int number_value (Reader *r, const Member *member) {
  const char *from = r->at;
  ShapeKind kind = kind_of(member);
  if (*r->at == '-') r->at++;
  const char *first = r->at;
  int fine = digits(r) && (*first != '0' || r->at == first + 1);
  if (fine && r->at < r->end && *r->at == '.') fine = (r->at++, digits(r));
  if (fine && r->at < r->end && (*r->at | 32) == 'e') {
    r->at++;
    if (r->at < r->end && (*r->at == '+' || *r->at == '-')) r->at++;
    fine = digits(r);
  }
  if (!fine) return refuse(r, "not a number");
  if (member == &NOTHING) return 1;
  if (kind == SHAPE_DOCUMENT) kind = SHAPE_NUMBER;
  if (kind < SHAPE_INTEGER) return mismatch(r, member, "a number");
  size_t length = (size_t)(r->at - from);
  if (shape_push_text(r->L, kind, from, length, 0) || shape_push_text(r->L, SHAPE_NUMBER, from, length, 0)) return 1;
  return refuse(r, "a number of too many digits");
}

static int word_value (Reader *r, const Member *member, const char *word) {
  size_t length = strlen(word);
  if ((size_t)(r->end - r->at) < length || memcmp(r->at, word, length) != 0) return refuse(r, "not a value");
  r->at += length;
  if (member == &NOTHING) return 1;
  if (*word == 'n') host_push_null(r->L);
  else if (kind_of(member) == SHAPE_BOOL || kind_of(member) == SHAPE_DOCUMENT) lua_pushboolean(r->L, *word == 't');
  else return mismatch(r, member, "a boolean");
  return 1;
}

/* ---- lists, maps and structs ---- */

static int end_of (Reader *r, char close, int *more) {   /* after an item: another one, or the end */
  int c = peek(r);
  if (c != ',' && c != close) return refuse(r, c < 0 ? "the answer is cut off" : "a comma is missing");
  r->at++;
  *more = c == ',';
  return 1;
}

static int list_value (Reader *r, const Member *member, int hidden) {
  ShapeKind kind = kind_of(member);
  const Member *item = member;                      /* a document's lists hold documents */
  lua_Integer count = 0;
  int more = 1;
  if (kind == SHAPE_LIST) item = &member->shape->item;
  else if (kind != SHAPE_DOCUMENT) return mismatch(r, member, "a list");
  if (member != &NOTHING) {
    lua_newtable(r->L);
    host_mark_array(r->L);
  }
  r->at++;
  if (peek(r) == ']') more = (r->at++, 0);
  while (more) {
    if (!read_value(r, item, hidden || item->secret)) return 0;
    if (member != &NOTHING) lua_rawseti(r->L, -2, ++count);
    if (!end_of(r, ']', &more)) return 0;
  }
  return 1;
}

static int member_name (Reader *r, Text *name) {
  return peek(r) == '"' ? read_string(r, name) : refuse(r, "a member has no name");
}

static int map_value (Reader *r, const Member *member, int hidden) {
  Text name;
  int more = 1;
  const Member *item = kind_of(member) == SHAPE_MAP ? &member->shape->item : member;
  if (member != &NOTHING) lua_newtable(r->L);
  r->at++;
  if (peek(r) == '}') more = (r->at++, 0);
  while (more) {
    if (!member_name(r, &name)) return 0;
    if (member != &NOTHING) lua_pushlstring(r->L, name.s, name.length);
    if (!expect(r, ':', "a colon is missing") || !read_value(r, item, hidden || item->secret)) return 0;
    if (member != &NOTHING) lua_rawset(r->L, -3);
    if (!end_of(r, '}', &more)) return 0;
  }
  return 1;
}

static int struct_value (Reader *r, Shape *shape, int hidden) {
  lua_State *L = r->L;
  Text name, unknown = {NULL, 0};
  char kept[64];
  int more = 1, values = 0;
  lua_createtable(L, 0, shape->usual);
  r->at++;
  if (peek(r) == '}') more = (r->at++, 0);
  while (more) {
    if (!member_name(r, &name)) return 0;
    const Member *m = shape_member(shape, name.s, name.length);
    if (m == NULL && shape->is_union && unknown.s == NULL && !(name.length == 6 && memcmp(name.s, "__type", 6) == 0)) {
      unknown = (Text){kept, name.length < sizeof kept ? name.length : sizeof kept};
      memcpy(kept, name.s, unknown.length);
    }
    if (!expect(r, ':', "a colon is missing")) return 0;
    if (unknown.s == kept && m == NULL && peek(r) == 'n') unknown.s = NULL;
    if (m == NULL || peek(r) == 'n') {              /* null is nothing here */
      if (!(m == NULL ? read_value(r, &NOTHING, 0) : word_value(r, &NOTHING, "null"))) return 0;
    } else {
      lua_rawgeti(L, r->g.keys, m->key);
      if (!read_value(r, m, hidden || m->secret || m->late)) return 0;
      lua_rawset(L, -3);
      values++;
    }
    if (!end_of(r, '}', &more)) return 0;
  }
  shape->usual = values;
  if (shape->has_late && !hidden) shape_reveal(L, &r->g, shape);
  if (unknown.s != NULL && values == 0) {
    lua_pop(L, 1);
    shape_push_unknown(L, unknown.s, unknown.length);
  }
  return 1;
}

static int object_value (Reader *r, const Member *member, int hidden) {
  ShapeKind kind = kind_of(member);
  if (kind == SHAPE_STRUCT) return struct_value(r, member->shape, hidden);
  if (kind == SHAPE_LIST && r->at + 1 < r->end && r->at[1] == '}') {   /* an empty list of those who do not tell */
    r->at += 2;
    lua_newtable(r->L);
    host_mark_array(r->L);
    return 1;
  }
  if (kind != SHAPE_MAP && kind != SHAPE_DOCUMENT) return mismatch(r, member, "an object");
  return map_value(r, member, hidden);
}

static int read_value (Reader *r, const Member *member, int hidden) {
  int fine, c = peek(r);
  if (member->shape != NULL) shape_need(r->L, &r->g, member->shape);
  if (c == '"') return string_value(r, member, hidden);
  if (c == '-' || (c >= '0' && c <= '9')) return number_value(r, member);
  if (c == 't') return word_value(r, member, "true");
  if (c == 'f') return word_value(r, member, "false");
  if (c == 'n') return word_value(r, member, "null");
  if (c != '[' && c != '{') return refuse(r, c < 0 ? "the answer is cut off" : "not a value");
  if (++r->depth > CODEC_DEPTH) return refuse(r, "nested deeper than 256 levels");
  luaL_checkstack(r->L, 16, "JSON");
  fine = c == '[' ? list_value(r, member, hidden) : object_value(r, member, hidden);
  r->depth--;
  return fine;
}

int shape_json (lua_State *L) {                     /* (graph, name, body, keys, shape) */
  size_t length;
  const char *body = host_bytes(L, 3, &length);
  Reader r = {.L = L, .g = {1, 4}, .start = body, .at = body, .end = body + length, .careful = host_is_secret(L, 3)};
  Member root = {.shape = lua_touserdata(L, 5), .key = 1, .secret = (unsigned char)r.careful};
  r.text = host_buf_new(L);
  r.text->secret = 1;                               /* any of its strings may be one */
  lua_toclose(L, -1);
  if (read_value(&r, &root, r.careful)) {
    if (peek(&r) < 0) return 1;
    refuse(&r, "something follows the value");
  }
  if (r.results) return r.results;
  int line = 1;
  const char *from = body;
  for (const char *s = body; s < r.at && s < r.end; s++)
    if (*s == '\n') line++, from = s + 1;
  return host_fail(L, "protocol", NULL, 0, "the answer is not JSON at line %d, column %d: %s", line, (int)(r.at - from) + 1, r.wrong);
}
