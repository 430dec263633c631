/*
** pgarray.c: PostgreSQL's arrays as lists. Their text is {1,NULL,"a \"b\"",{...}}, after bounds such as [0:2]= where they
** do not begin with 1; those are dropped. NULL inside a list is json.null, so that the list keeps its length.
*/
#include <string.h>
#include <strings.h>

#include "codec.h"
#include "pg.h"

#define DEPTH 6                                      /* PostgreSQL's MAXDIM */
#define BOX_ARRAY 1020                               /* the one whose elements stand between semicolons */

/* The array types of the server's own catalog (pg_type of PostgreSQL 15, 2026-11-23) whose elements are more than text */
static const struct { Oid array, element; } natives[] = {
  { 199, 114 }, { 1000, 16 }, { 1001, 17 }, { 1005, 21 }, { 1007, 23 }, { 1016, 20 }, { 1021, 700 }, { 1022, 701 },
  { 1028, 26 }, { 3807, 3802 },
};

/* ... and all others of them. Types that a database defines have other numbers in each. */
static const Oid texts[] = {
  143, 210, 270, 271, 272, 273, 629, 651, 719, 775, 791, 1002, 1003, 1006, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 1015,
  1017, 1018, 1019, 1020, 1027, 1034, 1040, 1041, 1115, 1182, 1183, 1185, 1187, 1231, 1263, 1270, 1561, 1563, 2201, 2207,
  2208, 2209, 2210, 2211, 2949, 2951, 3221, 3643, 3644, 3645, 3735, 3770, 3905, 3907, 3909, 3911, 3913, 3927, 4073, 4090,
  4097, 4192, 5039, 6150, 6151, 6152, 6153, 6155, 6157,
};

typedef struct Reader {
  lua_State *L;
  const char *at;
  char *element;                                     /* room for the longest, unescaped */
  Oid type;
  char delimiter;
} Reader;

static int is_array (Oid type, Oid *element) {
  size_t i;
  *element = 0;
  for (i = 0; i < sizeof natives / sizeof natives[0]; i++)
    if (natives[i].array == type) {
      *element = natives[i].element;
      return 1;
    }
  for (i = 0; i < sizeof texts / sizeof texts[0]; i++)
    if (texts[i] == type) return 1;
  return 0;
}

/* pushes one element that is no list */
static int push_element (Reader *r) {
  size_t n = 0;
  int quoted = *r->at == '"';
  if (quoted) r->at++;
  while (*r->at != '\0' && (quoted ? *r->at != '"' : *r->at != r->delimiter && *r->at != '}')) {
    if (*r->at == '\\' && r->at[1] != '\0') r->at++;
    r->element[n++] = *r->at++;
  }
  r->element[n] = '\0';
  if (quoted && *r->at++ != '"') return 0;
  if (!quoted && strcasecmp(r->element, "NULL") == 0) host_push_null(r->L);
  else host_pg_push_text(r->L, r->type, r->element, n);
  return 1;
}

/* pushes the list that begins here; 0 and nothing where the text is not one */
static int push_list (Reader *r, int depth) {
  lua_Integer n = 0;
  if (*r->at != '{' || depth > DEPTH) return 0;
  luaL_checkstack(r->L, 8, "array");
  lua_newtable(r->L);
  host_mark_array(r->L);
  do {
    r->at++;
    if (n == 0 && *r->at == '}') break;
    if (!(*r->at == '{' ? push_list(r, depth + 1) : push_element(r))) {
      lua_pop(r->L, 1);
      return 0;
    }
    lua_rawseti(r->L, -2, ++n);
  } while (*r->at == r->delimiter);
  if (*r->at != '}') {
    lua_pop(r->L, 1);
    return 0;
  }
  r->at++;
  return 1;
}

int host_pg_push_array (lua_State *L, Oid type, const char *s, size_t len) {
  Reader r = { L, s, NULL, 0, type == BOX_ARRAY ? ';' : ',' };
  int top = lua_gettop(L);
  if (!is_array(type, &r.type)) return 0;
  if (*s == '[' && (r.at = strchr(s, '=')) != NULL) r.at++;
  if (r.at == NULL || *r.at != '{') return 0;
  r.element = lua_newuserdatauv(L, len + 1, 0);
  if (push_list(&r, 1) && *r.at == '\0') {
    lua_remove(L, -2);
    return 1;
  }
  lua_settop(L, top);
  return 0;
}
