/*
 * file_room.h: is there room in the files of the queue or one of its companions?
 *
 * Size is that of the files: the links of most spans are long enough to be toasted.  Where spans
 * were deleted and vacuumed there is room in the files, which the free space map knows of; the
 * larger one tells.
 */
#ifndef OTEL_LINKS_FILE_ROOM_H
#define OTEL_LINKS_FILE_ROOM_H

#include "postgres.h"
#include "utils/rel.h"

/* The bytes of a table's files, its toast table's included. */
extern int64 file_bytes(Relation rel);

/* Have they reached so many bytes, without room for more in them? */
extern bool files_are_full(Relation rel, int64 max_bytes);

#endif
