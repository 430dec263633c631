/* The yardstick: the document at argv[1] into a tree of elements with names and text, by plain expat, argv[2] times.
   Prints the best time of one, in milliseconds. */
#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct Node {
  struct Node *parent, *first, *last, *next;
  char *name, *text;
  size_t length;
} Node;

static Node *root, *open_node;

static void on_start (void *data, const char *name, const char **attributes) {
  Node *node = calloc(1, sizeof *node);
  (void)data; (void)attributes;
  node->name = strdup(name);
  node->parent = open_node;
  if (open_node == NULL) root = node;
  else if (open_node->last == NULL) open_node->first = node;
  else open_node->last->next = node;
  if (open_node != NULL) open_node->last = node;
  open_node = node;
}

static void on_end (void *data, const char *name) {
  (void)data; (void)name;
  open_node = open_node->parent;
}

static void on_text (void *data, const char *s, int length) {
  (void)data;
  open_node->text = realloc(open_node->text, open_node->length + (size_t)length + 1);
  memcpy(open_node->text + open_node->length, s, (size_t)length);
  open_node->length += (size_t)length;
  open_node->text[open_node->length] = '\0';
}

static void node_free (Node *node) {
  for (Node *child = node->first, *next; child != NULL; child = next) {
    next = child->next;
    node_free(child);
  }
  free(node->name);
  free(node->text);
  free(node);
}

static double now (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int main (int argc, char **argv) {
  static char body[64 << 20];
  FILE *f = argc == 3 ? fopen(argv[1], "rb") : NULL;
  if (f == NULL) return 2;
  size_t size = fread(body, 1, sizeof body, f);
  double best = 1e9;
  for (int i = atoi(argv[2]); i > 0; i--) {
    double began = now();
    XML_Parser parser = XML_ParserCreate(NULL);
    XML_SetElementHandler(parser, on_start, on_end);
    XML_SetCharacterDataHandler(parser, on_text);
    if (XML_Parse(parser, body, (int)size, 1) != XML_STATUS_OK) return 1;
    XML_ParserFree(parser);
    double took = now() - began;
    if (took < best) best = took;
    node_free(root);
    root = NULL;
  }
  printf("%.2f\n", best);
  return 0;
}
