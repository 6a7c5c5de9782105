/*
 * file_room.h: is there room in the files of the queue or one of its companions?
 *
 * Size is that of the files: the links of most spans are long enough to be toasted.  Where spans were
 * deleted and vacuumed there is room in the files, which the free space map knows of; the larger one tells.
 * Both libraries ask, which share no symbol, so it is inline.
 */
#ifndef OTEL_LINKS_FILE_ROOM_H
#define OTEL_LINKS_FILE_ROOM_H

#include "postgres.h"
#include "access/table.h"
#include "storage/bufmgr.h"
#include "storage/freespace.h"
#include "utils/rel.h"

/* The bytes of a table's files, its toast table's included. */
static inline int64
file_bytes(Relation rel)
{
	Relation	toast = table_open(rel->rd_rel->reltoastrelid, AccessShareLock);
	int64		blocks = (int64) RelationGetNumberOfBlocks(rel) + RelationGetNumberOfBlocks(toast);

	table_close(toast, AccessShareLock);
	return blocks * BLCKSZ;
}

/* Have they reached so many bytes, without room for more in them? */
static inline bool
files_are_full(Relation rel, int64 max_bytes)
{
	Relation	toast;
	bool		full;

	if (file_bytes(rel) < max_bytes)
		return false;
	toast = table_open(rel->rd_rel->reltoastrelid, AccessShareLock);
	full = GetPageWithFreeSpace(RelationGetNumberOfBlocks(toast) > RelationGetNumberOfBlocks(rel) ? toast : rel,
								BLCKSZ / 2) == InvalidBlockNumber;
	table_close(toast, AccessShareLock);
	return full;
}

#endif
