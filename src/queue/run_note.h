/*
 * run_note.h: notes that every process of the server can make and see, about a database, until the
 * server is started again.
 *
 * They are empty files in the folder for temporary statistics: there is no shared memory but for
 * preloaded libraries, and backups leave that folder out.  Nothing here raises, but where no
 * file descriptor is left.
 */
#ifndef OTEL_LINKS_RUN_NOTE_H
#define OTEL_LINKS_RUN_NOTE_H

#include "postgres.h"

/* Makes the note; false when it is there already.  True as well where it cannot be made. */
extern bool run_note_make(const char *what, Oid database);

/* Is it there? */
extern bool run_note_exists(const char *what, Oid database);

/* False when it is still there. */
extern bool run_note_remove(const char *what, Oid database);

/*
 * The database whose note is the oldest, one of an earlier run of the server included; InvalidOid
 * when there is none.
 */
extern Oid run_note_oldest(const char *what);

#endif
