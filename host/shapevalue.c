/* Scalars of AWS's answers: numbers, times, bytes in base64, secrets. */
#include "shape.h"

#include <math.h>
#include <string.h>

static int is_space (char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static int is_digit (char c) { return c >= '0' && c <= '9'; }

static void trim (const char **s, size_t *length) {
  while (*length > 0 && is_space(**s)) (*s)++, (*length)--;
  while (*length > 0 && is_space((*s)[*length - 1])) (*length)--;
}

/* ---- times ---- */

typedef struct Scan { const char *at, *end; } Scan;

static int number (Scan *s, int least, int most, long *value) {   /* of that many digits */
  int count = 0;
  *value = 0;
  while (count < most && s->at < s->end && is_digit(*s->at)) *value = *value * 10 + (*s->at++ - '0'), count++;
  return count >= least;
}

static int take (Scan *s, const char *any) {        /* one of these characters */
  if (s->at == s->end || *s->at == '\0' || strchr(any, *s->at) == NULL) return 0;
  s->at++;
  return 1;
}

static long days_to (long year, long month, long day) {   /* from 1970-01-01, Gregorian calendar */
  if (month <= 2) year--;
  long era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
  long of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static double fraction (Scan *s) {                  /* ".250", any number of digits */
  double value = 0, scale = 1;
  if (!take(s, ".")) return 0;
  for (; s->at < s->end && is_digit(*s->at); s->at++) {
    if (scale < 1e15) value = value * 10 + (*s->at - '0'), scale *= 10;
  }
  return value / scale;
}

static int zone (Scan *s, long *offset) {           /* "", "Z", "GMT", "+01:00" */
  long hours, minutes;
  *offset = 0;
  if (s->at == s->end || (take(s, "Zz") && s->at == s->end)) return 1;
  if (s->end - s->at == 3 && (memcmp(s->at, "GMT", 3) == 0 || memcmp(s->at, "UTC", 3) == 0)) return 1;
  int west = s->at < s->end && *s->at == '-';
  if (!take(s, "+-") || !number(s, 2, 2, &hours)) return 0;
  (void)take(s, ":");
  if (!number(s, 2, 2, &minutes) || s->at != s->end) return 0;
  *offset = (hours * 60 + minutes) * (west ? -60 : 60);
  return 1;
}

static int clock_time (Scan *s, long *seconds, double *part) {   /* "08:00:00.5", "08:00" */
  long hour, minute, second = 0;
  if (!number(s, 2, 2, &hour) || !take(s, ":") || !number(s, 2, 2, &minute)) return 0;
  if (take(s, ":") && !number(s, 2, 2, &second)) return 0;
  *part = fraction(s);
  *seconds = hour * 3600 + minute * 60 + second;
  return hour <= 24 && minute < 60 && second <= 60;
}

static int push_date (lua_State *L, long year, long month, long day, long seconds, double part) {
  if (month < 1 || month > 12 || day < 1 || day > 31) return 0;
  lua_Integer whole = (lua_Integer)days_to(year, month, day) * 86400 + seconds;
  if (part > 0) lua_pushnumber(L, (lua_Number)whole + part);
  else lua_pushinteger(L, whole);
  return 1;
}

static int push_iso8601 (lua_State *L, Scan s) {
  long year, month, day, seconds = 0, offset = 0;
  double part = 0;
  if (!number(&s, 4, 4, &year) || !take(&s, "-") || !number(&s, 2, 2, &month) || !take(&s, "-") || !number(&s, 2, 2, &day)) return 0;
  if (s.at < s.end && !(take(&s, "Tt ") && clock_time(&s, &seconds, &part) && zone(&s, &offset))) return 0;
  return push_date(L, year, month, day, seconds - offset, part);
}

static int push_rfc822 (lua_State *L, Scan s) {     /* "Sat, 31 Jan 2026 08:00:00 GMT", also with - between the date */
  static const char MONTHS[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  long year, month = 0, day, seconds, offset;
  double part;
  while (s.at < s.end && *s.at != ',') s.at++;
  if (!take(&s, ",")) return 0;
  while (take(&s, " ")) {}
  if (!number(&s, 1, 2, &day) || !take(&s, " -") || s.end - s.at < 3) return 0;
  while (month < 12 && memcmp(MONTHS + 3 * month, s.at, 3) != 0) month++;
  s.at += 3;
  if (!take(&s, " -") || !number(&s, 4, 4, &year) || !take(&s, " ") || !clock_time(&s, &seconds, &part)) return 0;
  while (take(&s, " ")) {}
  if (!zone(&s, &offset)) return 0;
  return push_date(L, year, month + 1, day, seconds - offset, part);
}

/* ---- numbers ---- */

/* 64 bits without loss; what does not fit is a float; 0: not a decimal number */
static int push_number (lua_State *L, const char *s, size_t length) {
  char text[64];
  int whole = length > 0;
  for (size_t i = 0; i < length; i++) {
    if (is_digit(s[i]) || (i == 0 && (s[i] == '-' || s[i] == '+'))) continue;
    whole = 0;
    if (s[i] == '\0' || strchr(".eE+-", s[i]) == NULL) return 0;
  }
  if (length == 0 || length >= sizeof text) return 0;
  memcpy(text, s, length);
  text[length] = '\0';
  if (whole && *text == '+') memmove(text, text + 1, length--);
  if (lua_stringtonumber(L, text) != length + 1) return 0;
  return 1;
}

/* 1.0 and 1.769846400E9 are whole too */
static int push_whole (lua_State *L, const char *s, size_t length) {
  lua_Integer integer;
  if (!push_number(L, s, length)) return 0;
  double value = lua_tonumber(L, -1);
  if (!lua_isinteger(L, -1) && fabs(value) <= 0x1p53 && lua_numbertointeger(floor(value), &integer) && (double)integer >= value) {
    lua_pop(L, 1);
    lua_pushinteger(L, integer);
  }
  return 1;
}

static int push_integer (lua_State *L, const char *s, size_t length) {
  if (!push_whole(L, s, length)) return 0;
  if (lua_isinteger(L, -1) || fabs(lua_tonumber(L, -1)) >= 0x1p63) return 1;
  lua_pop(L, 1);
  return 0;
}

static int push_double (lua_State *L, const char *s, size_t length) {
  if (length == 3 && memcmp(s, "NaN", 3) == 0) lua_pushnumber(L, (lua_Number)NAN);
  else if (length == 8 && memcmp(s, "Infinity", 8) == 0) lua_pushnumber(L, (lua_Number)INFINITY);
  else if (length == 9 && memcmp(s, "-Infinity", 9) == 0) lua_pushnumber(L, (lua_Number)-INFINITY);
  else return push_number(L, s, length);
  return 1;
}

int shape_push_time (lua_State *L, const char *s, size_t length) {
  trim(&s, &length);
  Scan scan = {s, s + length};
  if (length == 0) return 0;
  if (length > 10 && s[4] == '-' && is_digit(s[0])) return push_iso8601(L, scan);
  return push_whole(L, s, length) || push_iso8601(L, scan) || push_rfc822(L, scan);
}

/* ---- any scalar ---- */

static int push_blob (lua_State *L, const char *s, size_t length, int hidden) {
  HostBuf *b = host_buf_new(L);
  b->secret = hidden;
  if (host_unbase64(L, b, s, length) != 0) {
    lua_pop(L, 1);
    return 0;
  }
  host_buf_push(L, b);
  lua_remove(L, -2);
  return 1;
}

int shape_push_text (lua_State *L, ShapeKind kind, const char *s, size_t length, int hidden) {
  if (kind == SHAPE_STRING) {
    if (hidden) host_push_secret(L, s, length);
    else lua_pushlstring(L, s, length);
    return 1;
  }
  if (kind == SHAPE_BLOB) return push_blob(L, s, length, hidden);
  trim(&s, &length);
  if (length == 0) {
    lua_pushnil(L);
    return 1;
  }
  switch (kind) {
    case SHAPE_BOOL:
      lua_pushboolean(L, length == 4 && memcmp(s, "true", 4) == 0);
      return 1;
    case SHAPE_INTEGER: return push_integer(L, s, length);
    case SHAPE_NUMBER: return push_double(L, s, length);
    case SHAPE_TIME: return shape_push_time(L, s, length);
    default: return 0;
  }
}
