/*
 * file_room.c: is there room in the files of the queue or of a table like it?
 */
#include "postgres.h"

#include "access/table.h"
#include "storage/bufmgr.h"
#include "storage/freespace.h"

#include "queue/file_room.h"

int64
file_bytes(Relation rel)
{
	int64		blocks = RelationGetNumberOfBlocks(rel);

	if (OidIsValid(rel->rd_rel->reltoastrelid))
	{
		Relation	toast = table_open(rel->rd_rel->reltoastrelid, AccessShareLock);

		blocks += RelationGetNumberOfBlocks(toast);
		table_close(toast, AccessShareLock);
	}
	return blocks * BLCKSZ;
}

static bool
has_free_page(Relation rel)
{
	return GetPageWithFreeSpace(rel, BLCKSZ / 2) != InvalidBlockNumber;
}

bool
files_are_full(Relation rel, int64 max_bytes)
{
	Relation	toast;
	bool		full;

	if (file_bytes(rel) < max_bytes)
		return false;
	if (!OidIsValid(rel->rd_rel->reltoastrelid))
		return !has_free_page(rel);
	toast = table_open(rel->rd_rel->reltoastrelid, AccessShareLock);
	full = !has_free_page(RelationGetNumberOfBlocks(toast) > RelationGetNumberOfBlocks(rel) ?
						  toast : rel);
	table_close(toast, AccessShareLock);
	return full;
}
