/*
 * columns.c: does a table or composite type have the columns that this library expects?
 */
#include "postgres.h"

#include "catalog/pg_attribute.h"
#include "utils/builtins.h"
#include "utils/typcache.h"

#include "columns.h"

static bool
type_matches(Form_pg_attribute attribute, const Column *column)
{
	if (OidIsValid(column->type))
		return attribute->atttypid == column->type;
	return strcmp(format_type_extended(attribute->atttypid, -1, FORMAT_TYPE_FORCE_QUALIFY),
				  column->own_type) == 0;
}

/* NOT NULL may be neither added nor dropped: reading rows relies on it, in PostgreSQL and here. */
static char *
column_mismatch(Form_pg_attribute attribute, const Column *column)
{
	if (attribute->attisdropped)
		return psprintf(_("Column \"%s\" was dropped."), column->name);
	if (!type_matches(attribute, column))
		return psprintf(_("Column \"%s\" is of type %s, not %s."),
						column->name, format_type_be(attribute->atttypid),
						column->own_type ? column->own_type : format_type_be(column->type));
	if (attribute->attnotnull && !column->not_null)
		return psprintf(_("Column \"%s\" does not accept NULL."), column->name);
	if (column->not_null && !attribute->attnotnull)
		return psprintf(_("Column \"%s\" accepts NULL."), column->name);
	if (attribute->attgenerated != '\0')
		return psprintf(_("Column \"%s\" is generated."), column->name);
	return NULL;
}

char *
columns_mismatch(TupleDesc desc, const Column *columns, int ncolumns)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		char	   *mismatch = NULL;

		if (i < ncolumns)
			mismatch = column_mismatch(attribute, &columns[i]);
		else if (!attribute->attisdropped && attribute->attnotnull)
			mismatch = psprintf(_("Column \"%s\" is new and does not accept NULL."),
								NameStr(attribute->attname));
		else if (!attribute->attisdropped &&
				 attribute->attgenerated == ATTRIBUTE_GENERATED_STORED)
			mismatch = psprintf(_("Column \"%s\" is new and generated."),
								NameStr(attribute->attname));
		if (mismatch)
			return mismatch;
	}
	if (desc->natts < ncolumns)
		return psprintf(_("Column \"%s\" is missing."), columns[desc->natts].name);
	return NULL;
}

/*
 * The columns of a composite type, pinned; NULL, with the reason in *mismatch, when they are not as
 * expected.  The names of types are read from catalogs, by which we may learn of another change.
 * So the description that was compared is pinned and returned.  To look again until nothing changes
 * might never end, as with debug_discard_caches.
 */
static TupleDesc
find_row_type(RowType *expected, Oid type, char **mismatch)
{
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_TUPDESC);
	uint64		version = entry->tupDesc_identifier;
	TupleDesc	desc = entry->tupDesc;

	if (desc == NULL)
	{
		*mismatch = pstrdup(_("It is not a composite type."));
		return NULL;
	}
	PinTupleDesc(desc);
	if (type == expected->checked_type && version == expected->checked_version)
		return desc;

	*mismatch = columns_mismatch(desc, expected->columns, expected->ncolumns);
	if (*mismatch)
	{
		ReleaseTupleDesc(desc);
		return NULL;
	}
	expected->checked_type = type;
	expected->checked_version = version;
	return desc;
}

TupleDesc
row_type_open(RowType *expected, Oid type)
{
	char	   *mismatch;
	TupleDesc	desc = find_row_type(expected, type, &mismatch);

	if (desc == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("type \"%s\" was altered", expected->name),
				 errdetail_internal("%s", mismatch),
				 errhint("%s", altered_hint())));
	return desc;
}

char *
row_type_mismatch(RowType *expected, Oid type)
{
	char	   *mismatch;
	TupleDesc	desc = find_row_type(expected, type, &mismatch);

	if (desc == NULL)
		return mismatch;
	ReleaseTupleDesc(desc);
	return NULL;
}

const char *
altered_hint(void)
{
	return _("Undo the change.  After an update of otel_links, run "
			 "ALTER EXTENSION otel_links UPDATE and reconnect.");
}
