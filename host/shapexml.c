/* Plays the tape of an XML document (shapetape.h) into the tables of a shape. Elements that the shape does not have are
   passed over, whatever is in them; of namespaces only the prefix is looked at, to leave it out. */
#include "shapexml.h"

#include <string.h>

enum { FEW = 8 };                                   /* items that a list has room for because the last one had them */

static const char *local_name (const char *name, size_t *length) {
  const char *colon = memrchr(name, ':', *length);
  if (colon == NULL) return name;
  *length -= (size_t)(colon + 1 - name);
  return colon + 1;
}

static Member *member_of (const Shape *shape, const char *name, size_t length) {
  Member *m = shape_member(shape, name, length);
  if (m != NULL) return m;
  const char *local = local_name(name, &length);
  return local != name ? shape_member(shape, local, length) : NULL;
}

static int names (const Member *m, const char *name, size_t length) {
  const char *local = local_name(name, &length);
  return m->length == length && memcmp(m->wire, local, length) == 0;
}

static Frame *frame_open (lua_State *L, Reader *r, Shape *shape, const Member *member, int hidden) {
  Frame *f = &r->frames[r->open++];
  f->shape = shape;
  f->member = member;
  f->slot = lua_gettop(L) + 1;
  f->hidden = hidden;
  f->entry = f->values = 0;
  f->unknown_length = 0;
  return f;
}

/* the list or map of a flattened member, made with its first item */
static void push_flat (lua_State *L, Reader *r, const Frame *f, const Member *member) {
  lua_rawgeti(L, r->g.keys, member->key);
  if (lua_rawget(L, f->slot) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_newtable(L);
  if (member->shape->kind == SHAPE_LIST) host_mark_array(L);
  lua_pushvalue(L, -1);
  shape_set(L, &r->g, f->slot, member);
}

/* puts the value on top where it belongs, and pops it */
static void store (lua_State *L, Reader *r, const Member *member) {
  Frame *f = &r->frames[r->open - 1];
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
  } else if (f->entry) {
    lua_replace(L, member == &f->shape->key ? f->slot : f->slot + 1);
  } else if (f->shape->kind == SHAPE_LIST) {
    lua_rawseti(L, f->slot, ++f->values);
  } else if (member->flat && member->shape->kind == SHAPE_LIST) {
    push_flat(L, r, f, member);
    lua_insert(L, -2);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 1);
  } else {
    f->values++;
    shape_set(L, &r->g, f->slot, member);
  }
}

static void open_entry (lua_State *L, Reader *r, Shape *map, const Member *member, int hidden) {
  shape_need(L, &r->g, map->key.shape);
  shape_need(L, &r->g, map->item.shape);
  frame_open(L, r, map, member, hidden)->entry = 1;
  lua_pushnil(L);
  lua_pushnil(L);
}

/* begins to read the element of a member of the frame around it */
static void begin (lua_State *L, Reader *r, const Member *member, int hidden) {
  const Member *use = member;
  shape_need(L, &r->g, member->shape);
  if (member->flat && member->shape->kind == SHAPE_MAP) {
    push_flat(L, r, &r->frames[r->open - 1], member);
    lua_pop(L, 1);
    open_entry(L, r, member->shape, member, hidden);
    return;
  }
  if (member->flat && member->shape->kind == SHAPE_LIST) {
    use = &member->shape->item;
    hidden |= use->secret;
    shape_need(L, &r->g, use->shape);
  }
  Shape *shape = use->shape;
  if (shape->kind > SHAPE_DOCUMENT) {
    r->leaf = member;
    r->leaf_use = use;
    r->leaf_hidden = hidden;
    r->leaf_read = 0;
    return;
  }
  frame_open(L, r, shape, member, hidden);
  if (shape->kind == SHAPE_LIST) {
    lua_createtable(L, shape->usual < FEW ? shape->usual : FEW, 0);
    host_mark_array(L);
  } else {
    lua_createtable(L, 0, shape->usual);
  }
}

static void on_element (lua_State *L, Reader *r, const char *name, size_t length) {
  if (r->skipped > 0 || r->leaf != NULL) {          /* a scalar ends where a child begins */
    r->skipped++;
    return;
  }
  Frame *f = &r->frames[r->open - 1];
  const Member *member = NULL;
  if (f->entry) {
    if (names(&f->shape->key, name, length)) {
      begin(L, r, &f->shape->key, 0);
      return;
    }
    if (names(&f->shape->item, name, length)) member = &f->shape->item;
  } else if (f->shape->kind == SHAPE_LIST) {
    member = &f->shape->item;
  } else if (f->shape->kind == SHAPE_MAP) {
    open_entry(L, r, f->shape, NULL, f->hidden);
    return;
  } else if (f->shape->kind == SHAPE_STRUCT) {
    member = member_of(f->shape, name, length);
    if (member == NULL && f->shape->is_union && f->unknown_length == 0) {
      const char *local = local_name(name, &length);
      f->unknown_length = length < sizeof f->unknown ? length : sizeof f->unknown;
      memcpy(f->unknown, local, f->unknown_length);
    }
  }
  if (member == NULL) r->skipped = 1;
  else begin(L, r, member, f->hidden || member->secret || member->late);
}

static int wrong (lua_State *L, const Reader *r, const Member *member, ShapeKind kind, const char *s, size_t length, int hidden) {
  lua_pushlstring(L, hidden ? "(secret)" : s, hidden ? 8 : length < 40 ? length : 40);
  return host_fail(L, "protocol", NULL, 0, "the answer's %s is \"%s\", not of type %s", shape_member_name(L, &r->g, member),
                   lua_tostring(L, -1), shape_kind_name(kind));
}

static int read_leaf (lua_State *L, Reader *r, const char *s, size_t length) {
  ShapeKind kind = r->leaf_use->shape->kind;
  r->leaf_read = 1;
  if (shape_push_text(L, kind, s, length, r->leaf_hidden)) return 0;
  return wrong(L, r, r->leaf, kind, s, length, r->leaf_hidden);
}

static int end_leaf (lua_State *L, Reader *r) {
  const Member *member = r->leaf;
  if (!r->leaf_read) {
    int failed = read_leaf(L, r, "", 0);
    if (failed) return failed;
  }
  r->leaf = NULL;
  for (const Member *twin = member->twin; twin != NULL; twin = twin->twin) {   /* who shares the element */
    shape_need(L, &r->g, twin->shape);
    if (twin->shape->kind > SHAPE_DOCUMENT || twin->flat) {
      lua_pushvalue(L, -1);
      store(L, r, twin);
    }
  }
  store(L, r, member);
  return 0;
}

static void end_entry (lua_State *L, Reader *r, const Frame *f) {
  Frame *around = &r->frames[r->open - 1];
  if (f->member != NULL) push_flat(L, r, around, f->member);
  else lua_pushvalue(L, around->slot);
  lua_insert(L, -3);                                /* map, key, value */
  if (lua_isnil(L, -2) || lua_isnil(L, -1)) lua_pop(L, 2);
  else lua_rawset(L, -3);
  lua_pop(L, 1);
}

static int end_element (lua_State *L, Reader *r) {
  if (r->skipped > 0) {
    r->skipped--;
    return 0;
  }
  if (r->leaf != NULL) return end_leaf(L, r);
  Frame *f = &r->frames[--r->open];
  if (f->entry) {
    end_entry(L, r, f);
    return 0;
  }
  f->shape->usual = f->values;
  if (f->shape->kind == SHAPE_STRUCT) {
    if (f->shape->has_late && !f->hidden) shape_reveal(L, &r->g, f->shape);
    if (f->unknown_length > 0 && f->values == 0) {
      lua_pop(L, 1);
      shape_push_unknown(L, f->unknown, f->unknown_length);
    }
  }
  if (r->open > 0) store(L, r, f->member);          /* the root stays on the stack */
  return 0;
}

static int on_value (lua_State *L, Reader *r, const char *name, size_t name_length, const char *s, size_t length) {
  Frame *f = &r->frames[r->open - 1];
  if (r->skipped > 0 || r->leaf != NULL || f->entry || !f->shape->has_attributes) return 0;
  name = local_name(name, &name_length);
  for (size_t i = 0; i < f->shape->count; i++) {
    const Member *m = &f->shape->members[i];
    size_t wire_length = m->length;
    const char *wire = local_name(m->wire, &wire_length);
    if (!m->attribute || wire_length != name_length || memcmp(wire, name, name_length) != 0) continue;
    shape_need(L, &r->g, m->shape);
    if (!shape_push_text(L, m->shape->kind, s, length, f->hidden || m->secret))
      return wrong(L, r, m, m->shape->kind, s, length, f->hidden || m->secret);
    store(L, r, m);
  }
  return 0;
}

int shape_play (lua_State *L, Reader *r, const Reel *reel) {
  size_t name_length = 0;
  const char *name = NULL;
  for (size_t at = 0; at < reel->ready;) {
    Note head;
    memcpy(&head, reel->bytes + at, sizeof head);
    const char *s = reel->bytes + at + sizeof head;
    at += sizeof head + head.length;
    int failed = 0;
    switch (head.what) {
      case START:
        if (r->open > 0) {
          on_element(L, r, s, head.length);
          break;
        }
        name_length = head.length;
        name = local_name(s, &name_length);
        name_length = name_length < sizeof r->root ? name_length : sizeof r->root - 1;
        memcpy(r->root, name, name_length);
        frame_open(L, r, r->shape, NULL, r->hidden);
        lua_newtable(L);
        break;
      case ATTRIBUTE: name = s; name_length = head.length; break;
      case VALUE: failed = on_value(L, r, name, name_length, s, head.length); break;
      case TEXT:
        if (r->leaf != NULL && r->skipped == 0 && !r->leaf_read) failed = read_leaf(L, r, s, head.length);
        break;
      default: failed = end_element(L, r);
    }
    if (failed) return failed;
  }
  return 0;
}
