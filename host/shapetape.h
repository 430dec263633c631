/* A tape of what expat sees. expat must not be left by a Lua error: so its callbacks only note what they see, on reels
   of a part of the document each, and the reels are played into Lua. The document may come piece by piece; a large one is
   recorded by a thread, ahead of who plays. All of it is wiped memory: a document may hold secrets. */
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

typedef struct Piece {                        /* of the document */
  struct Piece *next;
  const char *bytes;                          /* behind it, or lent */
  size_t length;
} Piece;

enum { TAPE_REELS = 4 };

typedef struct Tape {                         /* zeroed before tape_open */
  XML_Parser parser;
  const char *refused;                        /* why it stopped, other than for what expat says */
  Piece *filling;                             /* not full yet */
  size_t length;                              /* of the pieces before it */
  size_t at;                                  /* in the first piece: what is recorded next */
  Reel reels[TAPE_REELS], *reel;              /* reel: the one that is recorded */
  int is_begun;                               /* it holds something that is not to be played yet */
  size_t text;                                /* where on it the TEXT begins that may go on, or TAPE_NONE */
  int depth;
  int is_threaded;
  pthread_t thread;
  pthread_mutex_t mutex;                      /* of what follows */
  pthread_cond_t changed;
  Piece *first, *last;                        /* pieces that are not recorded yet */
  size_t recorded, played;                    /* reels */
  int is_ended, is_playing, is_over, is_broken, is_stopped;
} Tape;

int tape_open (Tape *t);                      /* 0: not enough memory */
void tape_close (Tape *t);                    /* safe twice */

/* Both answer 0 when there is not enough memory. */
int tape_add (Tape *t, const char *bytes, size_t length);    /* the next piece of the document */
int tape_lend (Tape *t, const char *bytes, size_t length);   /* all of it, which stays where it is until the end */

void tape_end (Tape *t);                      /* nothing is added any more */
const Reel *tape_next (Tape *t);              /* the next to play, until the call after; NULL: none before more is added, or at all */
const char *tape_fault (Tape *t, unsigned long *line, unsigned long *column);   /* NULL: the document was played whole */

#endif
