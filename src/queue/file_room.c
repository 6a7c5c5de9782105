/*
 * file_room.c: is there room in the files of the queue or one of its companions?
 */
#include "postgres.h"

#include "access/table.h"
#include "storage/bufmgr.h"
#include "storage/freespace.h"

#include "queue/file_room.h"

int64
file_bytes(Relation rel)
{
	Relation	toast = table_open(rel->rd_rel->reltoastrelid, AccessShareLock);
	int64		blocks = (int64) RelationGetNumberOfBlocks(rel) + RelationGetNumberOfBlocks(toast);

	table_close(toast, AccessShareLock);
	return blocks * BLCKSZ;
}

bool
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
