/* A reader of XML by the shapes of a service model: shapereader.c makes it and gives it the document, shapexml.c plays
   the tape of the document into Lua tables. */
#ifndef HKRUN_SHAPEXML_H
#define HKRUN_SHAPEXML_H

#include "shape.h"
#include "shapetape.h"

typedef struct Frame {                              /* an open element whose shape holds others */
  Shape *shape;
  const Member *member;                             /* what it is in the frame around it */
  int slot;                                         /* of its table; of the key of an entry, whose value comes next */
  int hidden;
  int entry;                                        /* of a map; `shape` is the map */
  int values;
  char unknown[64];                                 /* a union: the first element that is none of its members */
  size_t unknown_length;
} Frame;

typedef struct HostReader {
  Tape tape;
  Shapes g;
  Shape *shape;                                     /* of the root */
  int hidden;                                       /* all of it is secret */
  int results;                                      /* on the coroutine's stack, once it has ended */
  int is_taken;                                     /* they were */
  int before;                                       /* kilobytes of Lua's memory when it began */
  int open;                                         /* frames */
  int skipped;                                      /* open elements from the first that is passed over */
  const Member *leaf, *leaf_use;                    /* an open element of a scalar: in its frame, and by its shape */
  int leaf_hidden, leaf_read;
  char root[64];
  Frame frames[CODEC_DEPTH];                        /* the last, because nothing clears them */
} Reader;

/* Plays a reel; 0, or the count of results of a failure. Each open frame has its table on the stack, an open leaf its
   value once it is read. */
int shape_play (lua_State *L, Reader *r, const Reel *reel);

#endif
