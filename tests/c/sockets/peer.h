/*
 * The other machine. The peer is a process on Linux sockets in another
 * namespace; the tested program tells it what to do over a unix socket, which
 * is the kernel's on every stack. A command is a line, and so is its answer.
 * Sockets of the peer have numbers, from 0 in the order of their making.
 * See peer.c for the commands.
 */
#ifndef PEER_H
#define PEER_H

#include <stdint.h>

/* The answer to a command, valid until this thread's next one. */
const char *peer_ask(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, printed together with the command. */
void peer(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Lets the peer do that some milliseconds from now, in a thread of its own. */
void peer_after(int ms, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Sockets of the peer; each ends the program if it cannot be had. */
int peer_listen(int backlog, uint16_t *port);
int peer_accept(int listener);
int peer_connect(uint16_t port);

/* Prints that the port refuses the peer's connections, or what it does instead
 * after a second: a stack may take a moment to hear of a listener's end. */
void peer_is_refused(uint16_t port);

/* Ends the conversation; the peer closes its sockets. A child process that is
 * to talk to the peer calls this first, and then has a peer of its own. */
void peer_leave(void);

#endif
