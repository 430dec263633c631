/* What expat sees in an XML document, noted on a tape; see shapetape.h. Its callbacks call no Lua. */
#include "shapetape.h"
#include "codec.h"

#include <stdlib.h>
#include <string.h>

static void refuse (Tape *t, const char *why) {
  if (t->refused == NULL) t->refused = why;
  XML_StopParser(t->parser, XML_FALSE);
}

static void put (Tape *t, const void *from, size_t length) {
  if (t->room - t->length < length) {
    size_t room = t->room;
    while (room - t->length < length) room *= 2;
    char *bytes = host_wipe_realloc(t->bytes, room);
    if (bytes == NULL) {
      refuse(t, "not enough memory");
      return;
    }
    t->bytes = bytes;
    t->room = room;
  }
  memcpy(t->bytes + t->length, from, length);
  t->length += length;
}

static void note (Tape *t, unsigned char what, const char *s, size_t length) {
  Note head = {what, (unsigned)length};
  t->text = what == TEXT ? t->length : TAPE_NONE;
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
  memcpy(&head, t->bytes + t->text, sizeof head);
  if ((size_t)head.length + (size_t)length > UINT32_MAX) refuse(t, "a text is too long");
  head.length += (unsigned)length;
  memcpy(t->bytes + t->text, &head, sizeof head);
}

static void on_entity (void *data, const char *name, int parameter, const char *value, int length, const char *base,
                       const char *system, const char *public, const char *notation) {
  (void)name; (void)parameter; (void)value; (void)length; (void)base; (void)system; (void)public; (void)notation;
  refuse(data, "declarations of entities are not accepted");
}

int tape_open (Tape *t) {
  static const XML_Memory_Handling_Suite wiping = {malloc, host_wipe_realloc, host_wipe_free};
  t->text = TAPE_NONE;
  t->room = 2 * TAPE_PART;
  t->bytes = malloc(t->room);
  if (t->bytes != NULL) t->parser = XML_ParserCreate_MM(NULL, &wiping, NULL);
  if (t->parser == NULL) return 0;
  XML_SetUserData(t->parser, t);
  XML_SetElementHandler(t->parser, on_start, on_end);
  XML_SetCharacterDataHandler(t->parser, on_text);
  XML_SetEntityDeclHandler(t->parser, on_entity);
  return 1;
}

void tape_close (Tape *t) {
  XML_Parser parser = t->parser;
  t->parser = NULL;
  if (parser != NULL) XML_ParserFree(parser);
  host_wipe_free(t->bytes);
  t->bytes = NULL;
}

int tape_record (Tape *t, const char *s, size_t length, int last) {
  return XML_Parse(t->parser, s, (int)length, last) == XML_STATUS_OK;
}

size_t tape_ready (const Tape *t, int last) { return !last && t->text != TAPE_NONE ? t->text : t->length; }

void tape_drop (Tape *t, size_t end) {
  if (end == 0) return;
  memmove(t->bytes, t->bytes + end, t->length - end);
  t->length -= end;
  if (t->text != TAPE_NONE) t->text = 0;
}
