#include <string.h>

#include "relink.h"
#include "lasterror.h"

/* A call from C stays on its thread until it returns, and so does what it calls here. */
static _Thread_local char last_error[1024];
static _Thread_local char last_code[32];

static void keep(char *to, size_t room, const char *text) {
  size_t n = strlen(text);
  if (n >= room) {
    n = room - 1;
    while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) n--; /* not within a character */
  }
  memcpy(to, text, n);
  to[n] = 0;
}

void relink_keep_error(const char *code, const char *text) {
  keep(last_code, sizeof last_code, code);
  keep(last_error, sizeof last_error, text);
}

relink_text relink_last_error(void) { return last_error; }
relink_text relink_last_code(void) { return last_code; }
