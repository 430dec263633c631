/* What expat sees in an XML document, noted on a tape; see shapetape.h. Its callbacks call no Lua. */
#include "shapetape.h"
#include "codec.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TAPE_NONE ((size_t)-1)

static const size_t PART = 1 << 16;           /* bytes of a document that are recorded at a time */
static const size_t LARGE = 1 << 20;          /* what is smaller is read before a thread has begun */

static void refuse (Tape *t, const char *why) {
  if (t->refused == NULL) t->refused = why;
  XML_StopParser(t->parser, XML_FALSE);
}

static void put (Tape *t, const void *from, size_t length) {
  Reel *r = t->reel;
  if (r->room - r->length < length) {
    size_t room = r->room > 0 ? r->room : PART;
    while (room - r->length < length) room *= 2;
    char *bytes = host_wipe_realloc(r->bytes, room);
    if (bytes == NULL) {
      refuse(t, "not enough memory");
      return;
    }
    r->bytes = bytes;
    r->room = room;
  }
  memcpy(r->bytes + r->length, from, length);
  r->length += length;
}

static void note (Tape *t, unsigned char what, const char *s, size_t length) {
  Note head = {what, (unsigned)length};
  t->text = what == TEXT ? t->reel->length : TAPE_NONE;
  put(t, &head, sizeof head);
  put(t, s, length);
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

/* Records the next reel, as many parts as it takes to have something to play; 0: not usable XML. */
static int record (Tape *t) {
  const Reel *before = t->reel;
  Reel *r = t->reel = &t->reels[t->recorded % TAPE_REELS];
  int fine = 1;
  r->length = r->ready = 0;
  if (t->text != TAPE_NONE) {
    put(t, before->bytes + t->text, before->length - t->text);
    t->text = 0;
  }
  do {                                        /* once for a document of no bytes, too */
    size_t part = t->length - t->at < PART ? t->length - t->at : PART;
    fine = XML_Parse(t->parser, t->document + t->at, (int)part, t->at + part == t->length) == XML_STATUS_OK;
    t->at += part;
    r->ready = t->at < t->length && t->text != TAPE_NONE ? t->text : r->length;
  } while (fine && t->refused == NULL && t->at < t->length && r->ready == 0);
  return fine && t->refused == NULL;
}

/* notes, with the mutex, what became of the reel that was recorded */
static void recorded (Tape *t, int fine) {
  if (fine) t->recorded++;
  else t->is_broken = 1;
  t->is_over = !fine || t->at == t->length;
}

static void *work (void *tape) {
  Tape *t = tape;
  pthread_mutex_lock(&t->mutex);
  while (!t->is_over && !t->is_stopped) {
    if (t->recorded - t->played == TAPE_REELS) {
      pthread_cond_wait(&t->changed, &t->mutex);
      continue;
    }
    pthread_mutex_unlock(&t->mutex);
    int fine = record(t);
    pthread_mutex_lock(&t->mutex);
    recorded(t, fine);
    pthread_cond_signal(&t->changed);
  }
  pthread_mutex_unlock(&t->mutex);
  return NULL;
}

/* ---- playing ---- */

int tape_open (Tape *t) {
  static const XML_Memory_Handling_Suite wiping = {malloc, host_wipe_realloc, host_wipe_free};
  t->text = TAPE_NONE;
  t->parser = XML_ParserCreate_MM(NULL, &wiping, NULL);
  if (t->parser == NULL) return 0;
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
  pthread_mutex_destroy(&t->mutex);
  pthread_cond_destroy(&t->changed);
  t->is_threaded = 0;
}

void tape_close (Tape *t) {
  stop(t);
  XML_Parser parser = t->parser;
  t->parser = NULL;
  if (parser != NULL) XML_ParserFree(parser);
  for (size_t i = 0; i < TAPE_REELS; i++) {
    host_wipe_free(t->reels[i].bytes);
    t->reels[i].bytes = NULL;
  }
}

void tape_start (Tape *t, const char *document, size_t length) {
  t->document = document;
  t->length = length;
  if (length < LARGE || sysconf(_SC_NPROCESSORS_ONLN) < 2) return;
  pthread_mutex_init(&t->mutex, NULL);
  pthread_cond_init(&t->changed, NULL);
  t->is_threaded = pthread_create(&t->thread, NULL, work, t) == 0;
}

const Reel *tape_next (Tape *t) {
  if (!t->is_threaded) {
    if (t->is_over) return NULL;
    recorded(t, record(t));
    return t->is_broken ? NULL : t->reel;
  }
  pthread_mutex_lock(&t->mutex);
  if (t->is_playing) t->played++;
  pthread_cond_signal(&t->changed);
  while (t->recorded == t->played && !t->is_over) pthread_cond_wait(&t->changed, &t->mutex);
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
