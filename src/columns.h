/*
 * columns.h: does a table or composite type have the columns that this library expects?
 *
 * The library reads and writes them by position.  Their owner may alter them, and a session may
 * still run an older library after ALTER EXTENSION … UPDATE.  So the columns are checked before
 * they are used.  Further columns at the end, which a later version may add, do no harm: they are
 * NULL in what this library writes.
 */
#ifndef OTEL_LINKS_COLUMNS_H
#define OTEL_LINKS_COLUMNS_H

#include "postgres.h"
#include "access/tupdesc.h"

/* A column as the install script creates it. */
typedef struct Column
{
	const char *name;			/* for messages; a column may be renamed */
	Oid			type;			/* or InvalidOid, for one of our types */
	const char *own_type;		/* for one of our types, its qualified name */
	bool		not_null;
} Column;

/* A composite type of ours.  Each user of one has a static RowType. */
typedef struct RowType
{
	const char *name;			/* qualified */
	const Column *columns;
	int			ncolumns;

	/* the type, and its version, that was last found to be as expected */
	Oid			checked_type;
	uint64		checked_version;
} RowType;

/*
 * NULL when the columns are as expected.  Otherwise a translated sentence, in CurrentMemoryContext,
 * that says what is wrong with the first one that is not.
 */
extern char *columns_mismatch(TupleDesc desc, const Column *columns, int ncolumns);

/*
 * The columns of a composite type, to be released with ReleaseTupleDesc().  They are checked once
 * after each change of the type.  Raises datatype_mismatch when they are not as expected.
 */
extern TupleDesc row_type_open(RowType *expected, Oid type);

/* NULL when the type is as expected, otherwise what is wrong, as from columns_mismatch(). */
extern char *row_type_mismatch(RowType *expected, Oid type);

/* The errhint for a table or type that was altered. */
extern const char *altered_hint(void);

#endif
