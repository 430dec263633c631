/* What expat sees in an XML document, noted on a tape; see shapetape.h. Its callbacks call no Lua. */
#include "shapetape.h"
#include "codec.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TAPE_NONE ((size_t)-1)

enum { PART = 1 << 18 };                      /* bytes of a document that are recorded at a time, but those of the first piece */
static const size_t FIRST = 1 << 16;          /* most answers have no more */
static const size_t LARGE = 1 << 18;          /* what is smaller is read before a thread has begun */

static void refuse (Tape *t, const char *why) {
  if (t->refused == NULL) t->refused = why;
  XML_StopParser(t->parser, XML_FALSE);
}

/* A longer reel; 0: there is no memory. */
static int grow (Tape *t, size_t length) {
  Reel *r = t->reel;
  size_t room = r->room > 0 ? r->room : FIRST;
  while (room - r->length < length) room *= 2;
  char *bytes = host_wipe_realloc(r->bytes, room);
  if (bytes == NULL) {
    refuse(t, "not enough memory");
    return 0;
  }
  r->bytes = bytes;
  r->room = room;
  return 1;
}

static void put (Tape *t, const void *from, size_t length) {
  Reel *r = t->reel;
  if (r->room - r->length < length && !grow(t, length)) return;
  memcpy(r->bytes + r->length, from, length);
  r->length += length;
}

static void note (Tape *t, unsigned char what, const char *s, size_t length) {
  Note head = {what, (unsigned)length};
  Reel *r = t->reel;
  t->text = what == TEXT ? r->length : TAPE_NONE;
  if (r->room - r->length < sizeof head + length && !grow(t, sizeof head + length)) return;
  char *to = r->bytes + r->length;
  r->length += sizeof head + length;
  memcpy(to, &head, sizeof head);
  memcpy(to + sizeof head, s, length);
}

static void on_start (void *data, const char *name, const char **attributes) {
  Tape *t = data;
  if (t->refused != NULL) return;
  if (t->depth++ == CODEC_DEPTH) {
    refuse(t, "nested deeper than 256 levels");
    return;
  }
  note(t, START, name, strlen(name));
  for (; attributes[0] != NULL; attributes += 2) {
    note(t, ATTRIBUTE, attributes[0], strlen(attributes[0]));
    note(t, VALUE, attributes[1], strlen(attributes[1]));
  }
}

static void on_end (void *data, const char *name) {
  Tape *t = data;
  (void)name;
  if (t->refused != NULL) return;
  t->depth--;
  note(t, END, "", 0);
}

static void on_text (void *data, const char *s, int length) {
  Tape *t = data;
  if (t->refused != NULL) return;
  if (t->text == TAPE_NONE) {
    note(t, TEXT, s, (size_t)length);
    return;
  }
  Note head;
  put(t, s, (size_t)length);
  if (t->refused != NULL) return;
  memcpy(&head, t->reel->bytes + t->text, sizeof head);
  if ((size_t)head.length + (size_t)length > UINT32_MAX) refuse(t, "a text is too long");
  head.length += (unsigned)length;
  memcpy(t->reel->bytes + t->text, &head, sizeof head);
}

static void on_entity (void *data, const char *name, int parameter, const char *value, int length, const char *base,
                       const char *system, const char *public, const char *notation) {
  (void)name; (void)parameter; (void)value; (void)length; (void)base; (void)system; (void)public; (void)notation;
  refuse(data, "declarations of entities are not accepted");
}

/* ---- recording ---- */

/* The next part of the document, with the mutex; 0: it is not there yet. */
static int take (Tape *t, const char **part, size_t *length, int *is_last) {
  while (t->first != NULL && t->at == t->first->length) {
    Piece *done = t->first;
    t->first = done->next;
    t->at = 0;
    host_wipe_free(done);
  }
  size_t left = t->first != NULL ? t->first->length - t->at : 0;
  if (left == 0 && !t->is_ended) return 0;
  *part = left > 0 ? t->first->bytes + t->at : "";
  *length = left < PART ? left : PART;
  *is_last = t->is_ended && *length == left && (t->first == NULL || t->first->next == NULL);
  t->at += *length;
  return 1;
}

/* Records a part; 0: not usable XML. */
static int record (Tape *t, const char *part, size_t length, int is_last) {
  if (!t->is_begun) {
    const Reel *before = t->reel;
    t->reel = &t->reels[t->recorded % TAPE_REELS];
    t->reel->length = 0;
    if (t->text != TAPE_NONE) {               /* a text that goes on */
      put(t, before->bytes + t->text, before->length - t->text);
      t->text = 0;
    }
  }
  int fine = XML_Parse(t->parser, part, (int)length, is_last) == XML_STATUS_OK && t->refused == NULL;
  t->reel->ready = !is_last && t->text != TAPE_NONE ? t->text : t->reel->length;
  t->is_begun = !is_last && t->reel->ready == 0;
  return fine;
}

/* Records the next part, with the mutex, which is free meanwhile; 0: it is not there yet. */
static int step (Tape *t) {
  const char *part;
  size_t length;
  int is_last;
  if (!take(t, &part, &length, &is_last)) return 0;
  pthread_mutex_unlock(&t->mutex);
  int fine = record(t, part, length, is_last);
  pthread_mutex_lock(&t->mutex);
  t->is_broken = !fine;
  t->is_over = !fine || is_last;
  if (fine && !t->is_begun) t->recorded++;
  pthread_cond_signal(&t->changed);
  return 1;
}

static void *work (void *tape) {
  Tape *t = tape;
  pthread_mutex_lock(&t->mutex);
  while (!t->is_over && !t->is_stopped)
    if (t->recorded - t->played == TAPE_REELS || !step(t)) pthread_cond_wait(&t->changed, &t->mutex);
  pthread_mutex_unlock(&t->mutex);
  return NULL;
}

/* ---- the document ---- */

/* Puts a piece behind the others. A second processor reads a large document ahead. */
static void hand_over (Tape *t, Piece *piece) {
  int was_large = t->length >= LARGE;
  t->length += piece->length;
  pthread_mutex_lock(&t->mutex);
  if (t->first == NULL) t->first = piece;
  else t->last->next = piece;
  t->last = piece;
  pthread_cond_signal(&t->changed);
  pthread_mutex_unlock(&t->mutex);
  if (!was_large && t->length >= LARGE && sysconf(_SC_NPROCESSORS_ONLN) > 1)
    t->is_threaded = host_thread(&t->thread, work, t) == 0;
}

static size_t piece_room (const Tape *t) { return t->length == 0 ? FIRST : PART; }

static Piece *piece_new (const char *lent, size_t length, size_t room) {
  Piece *piece = malloc(sizeof *piece + room);
  if (piece != NULL) *piece = (Piece){NULL, lent != NULL ? lent : (const char *)(piece + 1), length};
  return piece;
}

int tape_add (Tape *t, const char *bytes, size_t length) {
  while (length > 0) {
    if (t->filling == NULL) t->filling = piece_new(NULL, 0, piece_room(t));
    Piece *piece = t->filling;
    if (piece == NULL) return 0;
    size_t room = piece_room(t) - piece->length, some = length < room ? length : room;
    memcpy((char *)(piece + 1) + piece->length, bytes, some);
    piece->length += some;
    bytes += some;
    length -= some;
    if (some < room) break;
    t->filling = NULL;
    hand_over(t, piece);
  }
  return 1;
}

int tape_lend (Tape *t, const char *bytes, size_t length) {
  Piece *piece = piece_new(bytes, length, 0);
  if (piece != NULL) hand_over(t, piece);
  return piece != NULL;
}

void tape_end (Tape *t) {
  Piece *piece = t->filling;
  t->filling = NULL;
  if (piece != NULL) hand_over(t, piece);
  pthread_mutex_lock(&t->mutex);
  t->is_ended = 1;
  pthread_cond_signal(&t->changed);
  pthread_mutex_unlock(&t->mutex);
}

/* ---- playing ---- */

int tape_open (Tape *t) {
  static const XML_Memory_Handling_Suite wiping = {malloc, host_wipe_realloc, host_wipe_free};
  t->text = TAPE_NONE;
  t->parser = XML_ParserCreate_MM(NULL, &wiping, NULL);
  if (t->parser == NULL) return 0;
  pthread_mutex_init(&t->mutex, NULL);
  pthread_cond_init(&t->changed, NULL);
  XML_SetUserData(t->parser, t);
  XML_SetElementHandler(t->parser, on_start, on_end);
  XML_SetCharacterDataHandler(t->parser, on_text);
  XML_SetEntityDeclHandler(t->parser, on_entity);
  return 1;
}

static void stop (Tape *t) {
  if (!t->is_threaded) return;
  pthread_mutex_lock(&t->mutex);
  t->is_stopped = 1;
  pthread_cond_signal(&t->changed);
  pthread_mutex_unlock(&t->mutex);
  pthread_join(t->thread, NULL);
  t->is_threaded = 0;
}

static void free_pieces (Piece *piece) {
  while (piece != NULL) {
    Piece *next = piece->next;
    host_wipe_free(piece);
    piece = next;
  }
}

void tape_close (Tape *t) {
  if (t->parser == NULL) return;
  stop(t);
  pthread_mutex_destroy(&t->mutex);
  pthread_cond_destroy(&t->changed);
  XML_ParserFree(t->parser);
  t->parser = NULL;
  free_pieces(t->filling);
  free_pieces(t->first);
  for (size_t i = 0; i < TAPE_REELS; i++) host_wipe_free(t->reels[i].bytes);
}

const Reel *tape_next (Tape *t) {
  pthread_mutex_lock(&t->mutex);
  if (t->is_playing) t->played++;
  pthread_cond_signal(&t->changed);
  while (t->recorded == t->played && !t->is_over) {
    if (!t->is_threaded) {
      if (!step(t)) break;
    } else if (t->is_ended) pthread_cond_wait(&t->changed, &t->mutex);
    else break;
  }
  t->is_playing = t->recorded > t->played;
  pthread_mutex_unlock(&t->mutex);
  return t->is_playing ? &t->reels[t->played % TAPE_REELS] : NULL;
}

const char *tape_fault (Tape *t, unsigned long *line, unsigned long *column) {
  stop(t);
  if (!t->is_broken) return NULL;
  *line = XML_GetCurrentLineNumber(t->parser);
  *column = XML_GetCurrentColumnNumber(t->parser) + 1;
  return t->refused != NULL ? t->refused : XML_ErrorString(XML_GetErrorCode(t->parser));
}
