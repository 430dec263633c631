/* A tape of what expat sees. expat must not be left by a Lua error: so its callbacks only note what they see, on reels
   of a part of the document each, and the reels are played into Lua. A large document is recorded by a thread, ahead of
   who plays. All of it is wiped memory: a document may hold secrets. */
#ifndef HKRUN_SHAPETAPE_H
#define HKRUN_SHAPETAPE_H

#include <expat.h>
#include <pthread.h>
#include <stddef.h>

enum { START, ATTRIBUTE, VALUE, TEXT, END };  /* START name, ATTRIBUTE name, VALUE of it, TEXT, END */

typedef struct Note { unsigned char what; unsigned length; } Note;   /* followed by that many bytes */

typedef struct Reel {
  char *bytes;
  size_t length, room;
  size_t ready;                               /* bytes to play; a text after them goes on in the next reel */
} Reel;

enum { TAPE_REELS = 4 };

typedef struct Tape {                         /* zeroed before tape_open */
  XML_Parser parser;
  const char *refused;                        /* why it stopped, other than for what expat says */
  const char *document;
  size_t length, at;
  Reel reels[TAPE_REELS], *reel;              /* reel: the one that is recorded */
  size_t text;                                /* where on it the TEXT begins that may go on, or TAPE_NONE */
  int depth;
  int is_threaded;
  pthread_t thread;
  pthread_mutex_t mutex;                      /* of what follows */
  pthread_cond_t changed;
  size_t recorded, played;                    /* reels */
  int is_playing, is_over, is_broken, is_stopped;
} Tape;

int tape_open (Tape *t);                      /* 0: not enough memory */
void tape_close (Tape *t);                    /* safe twice */
void tape_start (Tape *t, const char *document, size_t length);   /* which stays where it is until the end */
const Reel *tape_next (Tape *t);              /* the next to play, until the call after; NULL: that was all, or it is broken */
const char *tape_fault (Tape *t, unsigned long *line, unsigned long *column);   /* NULL: the document was played whole */

#endif
