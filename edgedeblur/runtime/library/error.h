/* error.h: the calling thread's last error. */
#ifndef EDGEDEBLUR_ERROR_H
#define EDGEDEBLUR_ERROR_H

enum { ED_ERROR_BYTES = 512 };

/* Keeps a message for ed_last_error() in this thread and returns -1; a longer message is cut. */
int ed_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
