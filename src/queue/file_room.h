/*
 * file_room.h: is there room in the files of the queue or of a table like it?
 *
 * The files are those of the table and of its TOAST table.  After deleted spans were vacuumed, the
 * free space map knows of room in them; that of the larger of the two is asked.
 */
#ifndef OTEL_LINKS_FILE_ROOM_H
#define OTEL_LINKS_FILE_ROOM_H

#include "postgres.h"
#include "utils/rel.h"

/* The size of a table's files, with its TOAST table's, in bytes. */
extern int64 file_bytes(Relation rel);

/* Have they reached this many bytes, and is there no room left in them? */
extern bool files_are_full(Relation rel, int64 max_bytes);

#endif
