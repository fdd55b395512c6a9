/*
 * relink for C, and whatever can call C: a client whose streams survive the loss of
 * their network. README.md beside this file has an example and the limits.
 *
 * All functions may be called from any thread, and none ever ends the program. A
 * handle is a number and not a pointer: one that is wrong, or was freed, is an error.
 * Times are milliseconds, sizes bytes, texts UTF-8 that ends with a zero byte.
 *
 * What returns int returns 0, or -1: then relink_last_error and relink_last_code say
 * why, to the thread that has asked.
 */
#ifndef RELINK_H
#define RELINK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int64_t relink_handle; /* 0 is none */
typedef const char *relink_text;
typedef const void *relink_bytes;

/* A configuration, or 0. It may be used for any number of connections, and changed
 * afterwards, which changes nothing of those. */
relink_handle relink_config_new(void);

/* Sets one thing of a configuration:
 *
 *   address            "tcp example.com:7000" or "tls example.com:443"; several are
 *                      tried in their order, each with a head start of 250 ms
 *   suite              noise, insecure-noise, dh64rc4 or scp; required, like an address
 *   server-key         the server's public key; up to four while it changes its key
 *   client-key         this client's private key
 *   target             what to reach behind the server, on noise and scp
 *   vigilance          foreground, background or off: how soon a connection that is
 *                      silent is suspected; by default foreground
 *   clear              1: the stream is not encrypted, on dh64rc4 and scp
 *   replay-limit       bytes for each direction, by default 4 MiB
 *   dial-timeout  handshake-timeout  attempt-timeout  resume-timeout
 *   liveness-timeout  close-timeout          times in milliseconds
 *   tls-roots          certificates in PEM; by default the system's
 *   tls-server-name    by default the address's host
 *   proxy-socket       the path of a Unix socket for relink_proxy_start
 *   proxy-tcp          0: no TCP port for relink_proxy_start
 */
int relink_config_set(relink_handle config, relink_text name, relink_text value);

/* Connects, and returns a connection, or 0. It waits as long as dial-timeout. */
relink_handle relink_dial(relink_handle config);

/* Reads up to size bytes. Returns how many, 0 at the end of the stream, -1 on error.
 * It waits until there is something, or for the time that relink_set_timeouts gives. */
int64_t relink_read(relink_handle conn, void *buffer, size_t size);

/* Writes all of data into the connection's buffer, which is all that it waits for. */
int relink_write(relink_handle conn, relink_bytes data, size_t size);

/* Writes all of data and returns 1, or nothing of it and returns 0: there is no room
 * now. It never waits. -1 on error. */
int relink_try_write(relink_handle conn, relink_bytes data, size_t size);

/* Bounds each read and each write from now on; 0 is no bound. */
int relink_set_timeouts(relink_handle conn, int64_t read_ms, int64_t write_ms);

/* Waits until the peer has got all that was written. */
int relink_flush(relink_handle conn, int64_t ms);

/* Ends the stream that is written; what the peer sends can still be read. */
int relink_close_write(relink_handle conn);

/* Ends the connection and waits until the peer has got everything. The handle has
 * still to be freed. */
int relink_close(relink_handle conn, int64_t ms);

/* Ends the connection at once; the peer sees an error. */
int relink_abort(relink_handle conn);

/* Says that the network has changed: a new transport is dialled at once. */
int relink_network_changed(relink_handle conn);

enum relink_state {
  RELINK_NONE = 0, /* no such connection */
  RELINK_CONNECTED = 1,
  RELINK_SUSPENDED = 2, /* without a network, or coming back */
  RELINK_CLOSING = 3,   /* closed, and still delivering */
  RELINK_CLOSED = 4
};
int relink_state_of(relink_handle conn);

struct relink_stats {
  int64_t bytes_read, bytes_written, bytes_pending;
  int64_t resumes;        /* how often it went on over a new transport */
  int64_t replayed;       /* bytes that were sent again */
  int64_t longest_gap_ms; /* without a network */
  int64_t memory;         /* bytes of buffers held now */
};
int relink_stats_of(relink_handle conn, struct relink_stats *stats);

/* Listens on 127.0.0.1, and carries each connection that comes over one of relink's:
 * for programs that can only open a socket. Returns the proxy, or 0. */
relink_handle relink_proxy_start(relink_handle config);

/* The proxy's port, or -1. */
int relink_proxy_port(relink_handle proxy);

/* Lets go of a configuration, a connection (which is aborted unless it was closed) or
 * a proxy (which is closed). Calls under way end with an error. */
int relink_free(relink_handle handle);

/* What the last failed call of this thread has to say, and its code: argument, network,
 * authentication, expired, lost, timeout, … (docs/mobile.md lists them). Both are
 * valid until this thread's next call of relink, and "" before the first failure. */
relink_text relink_last_error(void);
relink_text relink_last_code(void);

#ifdef __cplusplus
}
#endif

#endif
