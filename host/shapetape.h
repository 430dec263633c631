/* A tape of what expat sees. expat must not be left by a Lua error: so its callbacks only note what they see, and after
   each part of the document the tape is played into Lua. All of it is wiped memory: a document may hold secrets. */
#ifndef HKRUN_SHAPETAPE_H
#define HKRUN_SHAPETAPE_H

#include <expat.h>
#include <stddef.h>

enum { START, ATTRIBUTE, VALUE, TEXT, END };  /* START name, ATTRIBUTE name, VALUE of it, TEXT, END */

typedef struct Note { unsigned char what; unsigned length; } Note;   /* followed by that many bytes */

enum { TAPE_PART = 1 << 16 };                 /* bytes of a document that are recorded at a time */
#define TAPE_NONE ((size_t)-1)

typedef struct Tape {                         /* zeroed before tape_open */
  XML_Parser parser;
  const char *refused;                        /* why it stopped, other than for what expat says */
  char *bytes;
  size_t length, room;
  size_t text;                                /* where the TEXT begins that may go on, or TAPE_NONE */
  int depth;
} Tape;

int tape_open (Tape *t);                      /* 0: not enough memory */
void tape_close (Tape *t);                    /* safe twice */
int tape_record (Tape *t, const char *s, size_t length, int last);   /* 0: not usable XML */
size_t tape_ready (const Tape *t, int last);  /* bytes that can be played: not a last text that may go on */
void tape_drop (Tape *t, size_t end);         /* forgets what was played */

#endif
