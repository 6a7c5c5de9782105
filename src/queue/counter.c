/*
 * counter.c: sequences as counters.
 *
 * nextval() is not used, because it changes what lastval() returns: drivers call that after the
 * user's INSERT for the key of the new row.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_sequence.h"
#include "common/int.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "queue/counter.h"
#include "queue/lock_soon.h"

/* A sequence of the schema otel, or InvalidOid. */
static Oid
find_sequence(const char *name)
{
	Oid			schema = get_namespace_oid("otel", true);
	Oid			relid = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;

	return get_rel_relkind(relid) == RELKIND_SEQUENCE ? relid : InvalidOid;
}

/* 0 for a sequence that has not been used. */
static int64
last_value(Oid relid)
{
	LOCAL_FCINFO(fcinfo, 1);
	Datum		value;

	InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = ObjectIdGetDatum(relid);
	fcinfo->args[0].isnull = false;
	value = pg_sequence_last_value(fcinfo);
	return fcinfo->isnull ? 0 : DatumGetInt64(value);
}

/*
 * The new value.  If it is beyond the bounds that somebody gave the sequence, the bound: an error
 * would for ever prevent what is done together with counting, such as queuing spans.
 */
static int64
sum_within_bounds(Oid relid, int64 count)
{
	HeapTuple	tuple;
	int64		sum;

	if (pg_add_s64_overflow(last_value(relid), count, &sum))
		sum = PG_INT64_MAX;
	tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(relid));
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_sequence bounds = (Form_pg_sequence) GETSTRUCT(tuple);

		sum = Min(Max(sum, bounds->seqmin), bounds->seqmax);
		ReleaseSysCache(tuple);
	}
	return sum;
}

bool
counter_add(const char *sequence, int64 count)
{
	Oid			relid = find_sequence(sequence);
	Oid			user;
	int			security;

	if (!OidIsValid(relid))
		return true;
	/* This lock conflicts with itself, so nobody else counts between our reading and writing. */
	if (!lock_soon(relid, ShareUpdateExclusiveLock))
		return false;

	/* An error needs no cleaning up here: the end of the (sub)transaction restores the user. */
	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, security | SECURITY_LOCAL_USERID_CHANGE);
	(void) DirectFunctionCall2(setval_oid, ObjectIdGetDatum(relid),
							   Int64GetDatum(sum_within_bounds(relid, count)));
	SetUserIdAndSecContext(user, security);
	UnlockRelationOid(relid, ShareUpdateExclusiveLock);
	return true;
}

int64
counter_value(const char *sequence)
{
	Oid			relid = find_sequence(sequence);

	return OidIsValid(relid) ? last_value(relid) : 0;
}
