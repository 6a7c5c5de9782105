/*
 * columns.h: are the columns of a table or composite type those that this library knows?
 *
 * The library reads and writes them by position.  Their owner may alter them, and a session may
 * still run an older library after ALTER EXTENSION … UPDATE, so what is opened is compared with
 * what is expected before it is touched.  Further columns at the end, as a later version may add,
 * do no harm: they are NULL in what this library writes.
 */
#ifndef OTEL_LINKS_COLUMNS_H
#define OTEL_LINKS_COLUMNS_H

#include "postgres.h"
#include "access/tupdesc.h"

/* One column as the install script makes it. */
typedef struct Column
{
	const char *name;			/* for messages: a renamed column is the same */
	Oid			type;			/* or InvalidOid, for one of our types */
	const char *own_type;		/* its qualified name then */
	bool		not_null;
} Column;

/* A composite type of ours.  Each user of one has a static RowType. */
typedef struct RowType
{
	const char *name;			/* qualified */
	const Column *columns;
	int			ncolumns;

	/* what was last found to be right */
	Oid			checked_type;
	uint64		checked_version;
} RowType;

/*
 * NULL when the columns are those expected, otherwise a sentence, translated and in
 * CurrentMemoryContext, that says what is wrong with the first that is not.
 */
extern char *columns_mismatch(TupleDesc desc, const Column *columns, int ncolumns);

/*
 * The columns of a composite type, to be released with ReleaseTupleDesc().  Checked once after each
 * change of the type.  Raises datatype_mismatch, by name, when it is not as expected.
 */
extern TupleDesc row_type_open(RowType *expected, Oid type);

/* NULL when it is as expected, otherwise what is wrong, as columns_mismatch() says it. */
extern char *row_type_mismatch(RowType *expected, Oid type);

/* What to do about a table or type that was altered: an errhint. */
extern const char *altered_hint(void);

#endif
