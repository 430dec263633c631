/* Shapes of a service model in C, so that an answer is read straight into Lua tables: shape.c makes them, shapexml.c
   and shapejson.c read by them, shapevalue.c makes their scalars. */
#ifndef HKRUN_SHAPE_H
#define HKRUN_SHAPE_H

#include "codec.h"

typedef enum ShapeKind {
  SHAPE_STRUCT, SHAPE_LIST, SHAPE_MAP, SHAPE_DOCUMENT,
  SHAPE_STRING, SHAPE_BLOB, SHAPE_BOOL, SHAPE_INTEGER, SHAPE_NUMBER, SHAPE_TIME     /* scalars */
} ShapeKind;

typedef struct Shape Shape;

typedef struct Member {                       /* a use of a shape */
  const char *wire;                           /* its name on the wire */
  size_t length;
  lua_Integer key;                            /* place of its name in results among the keys of the graph */
  Shape *shape;
  struct Member *twin;                        /* another member of that name on the wire */
  unsigned char secret;                       /* text at it and below it is secret */
  unsigned char late;                         /* whether it is, a rule says that looks at its neighbours */
  unsigned char flat;                         /* XML: no element around the items */
  unsigned char attribute;                    /* XML */
} Member;

struct Shape {
  const char *name;
  int known;                                  /* what follows is filled in when a value is first read */
  ShapeKind kind;
  int is_union, has_late, has_attributes;
  Member *members;                            /* of a struct */
  size_t count;
  Member **slots;                             /* hash table of its members by wire, open addressing */
  size_t mask;
  Member item, key;                           /* item: of a list, or the value of a map */
  int usual;                                  /* members or items that the last value had */
};

/* What a reader needs at hand; the two are stack indices. */
typedef struct Shapes {
  int graph, keys;
} Shapes;

/* Has the shape's facts; may call Lua, once a shape. */
static inline void shape_need (lua_State *L, const Shapes *g, Shape *shape);
void shape_describe (lua_State *L, const Shapes *g, Shape *shape);
static inline void shape_need (lua_State *L, const Shapes *g, Shape *shape) {
  if (!shape->known) shape_describe(L, g, shape);
}

Member *shape_member (const Shape *shape, const char *wire, size_t length);   /* NULL: it has none of that name */

/* Sets the value on top in the struct's table at `slot`, and pops it. */
void shape_set (lua_State *L, const Shapes *g, int slot, const Member *member);

/* Ends a struct whose table is on top: late secrets that are none become strings. */
void shape_reveal (lua_State *L, const Shapes *g, const Shape *shape);

/* Pushes what stands for a union whose member is not in the model. */
void shape_push_unknown (lua_State *L, const char *wire, size_t length);

/* Pushes a scalar that came as text, nil where an empty one means nothing; 0: it is not of that type. */
int shape_push_text (lua_State *L, ShapeKind kind, const char *s, size_t length, int hidden);

/* Pushes a time in any form that AWS sends; 0: it is none. */
int shape_push_time (lua_State *L, const char *s, size_t length);

const char *shape_kind_name (ShapeKind kind);
const char *shape_member_name (lua_State *L, const Shapes *g, const Member *member);

/* The collector stands still while a reader makes its tables: they are no garbage, and walking what is made so far would be
   half of the time. They count afterwards, but for those of an answer that has more than doubled the memory in use: there is
   little else to find. before: the kilobytes in use when the reader began. */
int shape_hold_collector (lua_State *L);      /* kilobytes in use now, or -1: it was stopped */
void shape_release_collector (lua_State *L, int held, int before);

/* Methods of a graph, whose stack is (graph, name, body, keys): see shapereader.c, shapejson.c. */
int shape_reader (lua_State *L, Shape *shape);
int shape_xml (lua_State *L, Shape *shape);
int shape_json (lua_State *L);                /* and the shape */

#endif
