/*
 * run_note.h: notes about a database that every process can make and see until the server is
 * restarted.
 *
 * They are empty files in the folder for temporary statistics, which backups leave out.  Shared
 * memory is only for preloaded libraries.  Nothing here raises, but run_note_oldest() does when no
 * file descriptor is left.
 */
#ifndef OTEL_LINKS_RUN_NOTE_H
#define OTEL_LINKS_RUN_NOTE_H

#include "postgres.h"

/* Makes the note.  False when it already exists; true even if it cannot be made. */
extern bool run_note_make(const char *what, Oid database);

/* Was it made since the server started? */
extern bool run_note_exists(const char *what, Oid database);

/* Removes it.  False when it could not be removed. */
extern bool run_note_remove(const char *what, Oid database);

/*
 * The database whose note is the oldest, including notes of an earlier run of the server;
 * InvalidOid when there is none.
 */
extern Oid run_note_oldest(const char *what);

#endif
