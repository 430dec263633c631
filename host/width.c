/* How wide text stands on a terminal: wide characters take two columns, combining ones none (the C library's wcwidth, in
   a locale of its own, whatever LANG says). Lua: of(s) -> columns; fit(s, columns) -> the longest start of s that fits,
   its columns. Bytes that are not UTF-8 count one each. */
#include "host.h"

#include <locale.h>
#include <stdint.h>
#include <wchar.h>

static locale_t utf8;                               /* of the process, made once; the loop's thread only */

/* the character at s, its length in bytes */
static uint32_t character (const unsigned char *s, size_t left, size_t *length) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  size_t n = s[0] < 0x80 ? 1 : s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : s[0] < 0xF5 ? 4 : 0;
  uint32_t c = n < 2 ? s[0] : s[0] & (0x7Fu >> n);
  *length = 1;
  if (n < 2 || n > left) return s[0];
  for (size_t i = 1; i < n; i++) {
    if ((s[i] & 0xC0) != 0x80) return s[0];
    c = c << 6 | (s[i] & 0x3Fu);
  }
  if (c < least[n]) return s[0];
  *length = n;
  return c;
}

/* bytes of s that fit into `columns`, and the columns that these take */
static size_t measure (const char *s, size_t length, lua_Integer columns, lua_Integer *taken) {
  size_t at = 0;
  *taken = 0;
  locale_t before = uselocale(utf8);
  while (at < length) {
    size_t bytes;
    uint32_t c = character((const unsigned char *)s + at, length - at, &bytes);
    int wide = bytes > 1 ? wcwidth((wchar_t)c) : 1;
    if (wide < 0) wide = 1;
    if (wide > columns - *taken) break;
    *taken += wide;
    at += bytes;
  }
  uselocale(before);
  return at;
}

static int width_of (lua_State *L) {                /* of(s) -> integer */
  size_t length;
  lua_Integer taken;
  const char *s = luaL_checklstring(L, 1, &length);
  measure(s, length, LUA_MAXINTEGER, &taken);
  lua_pushinteger(L, taken);
  return 1;
}

static int width_fit (lua_State *L) {               /* fit(s, columns) -> string, integer */
  size_t length;
  lua_Integer taken;
  const char *s = luaL_checklstring(L, 1, &length);
  size_t bytes = measure(s, length, luaL_checkinteger(L, 2), &taken);
  lua_pushlstring(L, s, bytes);
  lua_pushinteger(L, taken);
  return 2;
}

int luaopen_host_width (lua_State *L) {
  static const luaL_Reg functions[] = {{"of", width_of}, {"fit", width_fit}, {NULL, NULL}};
  if (utf8 == (locale_t)0) {
    utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (utf8 == (locale_t)0) utf8 = newlocale(LC_CTYPE_MASK, "en_US.UTF-8", (locale_t)0);
    if (utf8 == (locale_t)0) utf8 = LC_GLOBAL_LOCALE;
  }
  luaL_newlib(L, functions);
  return 1;
}
