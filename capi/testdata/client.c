/* Talks to an echo server through cuts, and makes every mistake: client ADDRESS KEY BYTES */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relink.h"

#define CHECK(what)                                                                             \
  do {                                                                                          \
    if (!(what)) {                                                                              \
      fprintf(stderr, "line %d: %s: not so (%s: %s)\n", __LINE__, #what, relink_last_code(),    \
              relink_last_error());                                                             \
      exit(1);                                                                                  \
    }                                                                                           \
  } while (0)

#define FAILS(call, code)                                        \
  do {                                                           \
    CHECK((call) < 0);                                           \
    CHECK(strcmp(relink_last_code(), code) == 0);                \
    CHECK(strlen(relink_last_error()) > 0);                      \
  } while (0)

static unsigned char at(size_t i) { return (unsigned char)(i * 2654435761u >> 13); }

static relink_handle conn;
static size_t total;

static void *writer(void *unused) {
  unsigned char piece[8000];
  for (size_t done = 0; done < total;) {
    size_t n = sizeof piece < total - done ? sizeof piece : total - done;
    for (size_t i = 0; i < n; i++) piece[i] = at(done + i);
    CHECK(relink_write(conn, piece, n) == 0);
    done += n;
  }
  CHECK(relink_close_write(conn) == 0);
  return unused;
}

static void *reader(void *unused) {
  unsigned char piece[5000];
  size_t done = 0;
  for (;;) {
    int64_t n = relink_read(conn, piece, sizeof piece);
    CHECK(n >= 0);
    if (n == 0) break;
    for (int64_t i = 0; i < n; i++) CHECK(piece[i] == at(done + (size_t)i));
    done += (size_t)n;
  }
  CHECK(done == total);
  return unused;
}

static void *stranger(void *unused) {
  CHECK(strcmp(relink_last_error(), "") == 0); /* what another thread's call failed with is not ours */
  FAILS(relink_flush(12345, 1), "argument");
  return unused;
}

static relink_handle configure(const char *address, const char *key) {
  char text[256];
  relink_handle config = relink_config_new();
  CHECK(config != 0);
  snprintf(text, sizeof text, "tcp %s", address);
  CHECK(relink_config_set(config, "address", text) == 0);
  CHECK(relink_config_set(config, "suite", "noise") == 0);
  CHECK(relink_config_set(config, "server-key", key) == 0);
  return config;
}

static void mistakes(relink_handle config, const char *address) {
  char text[256];
  unsigned char byte = 0;
  struct relink_stats stats;

  FAILS(relink_config_set(config, NULL, "x"), "argument");
  FAILS(relink_config_set(config, "suite", NULL), "argument");
  FAILS(relink_config_set(config, "suite", "rot13"), "argument");
  FAILS(relink_config_set(config, "colour", "red"), "argument");
  FAILS(relink_config_set(config, "address", "nowhere"), "argument");
  FAILS(relink_config_set(config, "resume-timeout", "soon"), "argument");
  FAILS(relink_config_set(config, "clear", "perhaps"), "argument");
  FAILS(relink_config_set(config, "server-key", "x"), "argument");
  FAILS(relink_config_set(conn, "suite", "noise"), "argument");
  FAILS(relink_config_set(999, "suite", "noise"), "argument");

  CHECK(relink_dial(999) == 0 && strcmp(relink_last_code(), "argument") == 0);
  CHECK(relink_dial(conn) == 0 && strcmp(relink_last_code(), "argument") == 0);
  relink_handle empty = relink_config_new();
  CHECK(relink_dial(empty) == 0 && strcmp(relink_last_code(), "argument") == 0);
  CHECK(relink_config_set(empty, "suite", "insecure-noise") == 0);
  CHECK(relink_config_set(empty, "address", "tcp 127.0.0.1:1") == 0);
  CHECK(relink_config_set(empty, "dial-timeout", "5000") == 0);
  CHECK(relink_dial(empty) == 0 && strcmp(relink_last_code(), "network") == 0);
  CHECK(relink_free(empty) == 0);
  FAILS(relink_free(empty), "argument");
  FAILS(relink_free(0), "argument");
  FAILS(relink_free(-1), "argument");

  relink_handle other = relink_config_new();
  snprintf(text, sizeof text, "tcp %s", address);
  CHECK(relink_config_set(other, "address", text) == 0);
  CHECK(relink_config_set(other, "suite", "noise") == 0);
  CHECK(relink_config_set(other, "server-key", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=") == 0);
  CHECK(relink_dial(other) == 0 && strcmp(relink_last_code(), "authentication") == 0);
  CHECK(relink_free(other) == 0);

  FAILS(relink_read(conn, NULL, 10), "argument");
  FAILS(relink_read(conn, &byte, 0), "argument");
  FAILS(relink_read(config, &byte, 1), "argument");
  FAILS(relink_write(conn, NULL, 1), "argument");
  FAILS(relink_write(conn, &byte, (size_t)1 << 40), "argument");
  FAILS(relink_try_write(conn, NULL, 1), "argument");
  CHECK(relink_write(conn, NULL, 0) == 0);
  CHECK(relink_try_write(conn, NULL, 0) == 1);
  FAILS(relink_set_timeouts(conn, -1, 0), "argument");
  FAILS(relink_stats_of(conn, NULL), "argument");
  FAILS(relink_stats_of(config, &stats), "argument");
  CHECK(relink_state_of(999) == RELINK_NONE);
  CHECK(relink_state_of(conn) == RELINK_CONNECTED);
  FAILS(relink_proxy_port(conn), "argument");
  CHECK(relink_proxy_start(conn) == 0);

  CHECK(relink_set_timeouts(conn, 20, 0) == 0);
  FAILS(relink_read(conn, &byte, 1), "timeout");
  CHECK(relink_set_timeouts(conn, 0, 0) == 0);
}

int main(int argc, char **argv) {
  CHECK(argc == 4);
  CHECK(strcmp(relink_last_error(), "") == 0);
  total = strtoul(argv[3], NULL, 10);
  relink_handle config = configure(argv[1], argv[2]);

  conn = relink_dial(config);
  CHECK(conn != 0);
  mistakes(config, argv[1]);

  pthread_t threads[3];
  pthread_create(&threads[0], NULL, writer, NULL);
  pthread_create(&threads[1], NULL, reader, NULL);
  pthread_create(&threads[2], NULL, stranger, NULL);
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  struct relink_stats stats;
  CHECK(relink_stats_of(conn, &stats) == 0);
  CHECK(stats.bytes_read == (int64_t)total && stats.bytes_written == (int64_t)total);
  CHECK(relink_close(conn, 5000) == 0);
  FAILS(relink_write(conn, "x", 1), "closed");
  CHECK(relink_free(conn) == 0);
  FAILS(relink_read(conn, threads, 1), "argument");

  relink_handle proxy = relink_proxy_start(config);
  CHECK(proxy != 0);
  CHECK(relink_proxy_port(proxy) > 0);
  CHECK(relink_free(proxy) == 0);

  /* A handle that is freed while a call waits. */
  conn = relink_dial(config);
  CHECK(conn != 0);
  CHECK(relink_try_write(conn, "hello", 5) == 1);
  CHECK(relink_flush(conn, 5000) == 0);
  CHECK(relink_network_changed(conn) == 0);
  CHECK(relink_abort(conn) == 0);
  CHECK(relink_free(conn) == 0);
  CHECK(relink_free(config) == 0);
  printf("%lld resumes, %lld bytes sent again\n", (long long)stats.resumes, (long long)stats.replayed);
  return 0;
}
