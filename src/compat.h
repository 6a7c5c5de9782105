/*
 * compat.h: what differs between PostgreSQL 15 and 19, and the version of the extension.
 */
#ifndef OTEL_LINKS_COMPAT_H
#define OTEL_LINKS_COMPAT_H

#include "postgres.h"
#include "storage/proc.h"
#include "utils/guc.h"

/* PostgreSQL 16 moved the macros for variable-length types out of postgres.h. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* PostgreSQL 17 put the local transaction id into a struct. */
#if PG_VERSION_NUM >= 170000
#define MyLocalTransactionId() (MyProc->vxid.lxid)
#else
#define MyLocalTransactionId() (MyProc->lxid)
#endif

/* PostgreSQL 17 added a parameter: does a stronger mode count as well? */
#if PG_VERSION_NUM >= 170000
#define lock_held_by_me(tag, mode) LockHeldByMe(tag, mode, false)
#else
#define lock_held_by_me(tag, mode) LockHeldByMe(tag, mode)
#endif

/* Soft errors exist since PostgreSQL 16; before, an input function raises an error. */
#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
#else
#define ereturn(context, dummy_value, ...) ereport(ERROR, __VA_ARGS__)
#define DirectInputFunctionCallSafe(func, text, typioparam, typmod, context, result) \
	(*(result) = DirectFunctionCall1(func, CStringGetDatum(text)), true)
#endif

/* Since PostgreSQL 16, strings of settings are in a memory context of their own. */
#if PG_VERSION_NUM < 160000
#define guc_strdup(elevel, string) strdup(string)
#define guc_malloc(elevel, size) malloc(size)
#define guc_free(pointer) free(pointer)
#endif

/* Early minor releases of 15 to 17 lack it; they allow no setting to be set in parallel mode. */
#ifndef GUC_ALLOW_IN_PARALLEL
#define GUC_ALLOW_IN_PARALLEL 0
#endif

/* The part of a setting's entry that depends on its type; PostgreSQL 19 has a union for it. */
#if PG_VERSION_NUM >= 190000
#define guc_as(setting, kind) (&(setting)->_##kind)
#else
#define guc_as(setting, kind) ((struct config_##kind *) (setting))
#endif

/* PostgreSQL 16 has one function for the owners of all kinds of objects. */
#if PG_VERSION_NUM >= 160000
#define owns_relation(relation) object_ownercheck(RelationRelationId, relation, GetUserId())
#else
#define owns_relation(relation) pg_class_ownercheck(relation, GetUserId())
#endif

/* PostgreSQL 18 added the copy of a tuple descriptor's first columns. */
#if PG_VERSION_NUM < 180000
#include "access/tupdesc.h"
static inline TupleDesc
CreateTupleDescTruncatedCopy(TupleDesc desc, int natts)
{
	TupleDesc	copy = CreateTemplateTupleDesc(natts);

	for (int i = 1; i <= natts; i++)
		TupleDescCopyEntry(copy, i, desc, i);
	return copy;
}
#endif

/* PostgreSQL 16 and 19 changed the arguments. */
#if PG_VERSION_NUM >= 190000
#define insert_index_tuples(result_rel, slot, estate) \
	ExecInsertIndexTuples(result_rel, estate, 0, slot, NIL, NULL)
#elif PG_VERSION_NUM >= 160000
#define insert_index_tuples(result_rel, slot, estate) \
	ExecInsertIndexTuples(result_rel, slot, estate, false, false, NULL, NIL, false)
#else
#define insert_index_tuples(result_rel, slot, estate) \
	ExecInsertIndexTuples(result_rel, slot, estate, false, false, NULL, NIL)
#endif

/*
 * JSON semantic actions return an error code since PostgreSQL 16; makeJsonLexContextCstringLen()
 * has another parameter since 17.
 */
#if PG_VERSION_NUM >= 160000
#define JSON_ACTION_RESULT JsonParseErrorType
#define JSON_ACTION_DONE() return JSON_SUCCESS
#else
#define JSON_ACTION_RESULT void
#define JSON_ACTION_DONE() return
#endif
#if PG_VERSION_NUM >= 170000
#define make_json_lexer(json, len, encoding) \
	makeJsonLexContextCstringLen(NULL, json, len, encoding, true)
#else
#define make_json_lexer(json, len, encoding) \
	makeJsonLexContextCstringLen(json, len, encoding, true)
#endif

/* PostgreSQL 19 has only standard-conforming string literals. */
#if PG_VERSION_NUM >= 190000
#define server_standard_conforming_strings true
#else
#define server_standard_conforming_strings standard_conforming_strings
#endif

/* PostgreSQL 18 dropped the last parameter of ExecutorRun. */
#if PG_VERSION_NUM >= 180000
#define EXECUTOR_RUN_PARAMETERS QueryDesc *query, ScanDirection direction, uint64 count
#define EXECUTOR_RUN_ARGUMENTS query, direction, count
#else
#define EXECUTOR_RUN_PARAMETERS \
	QueryDesc *query, ScanDirection direction, uint64 count, bool execute_once
#define EXECUTOR_RUN_ARGUMENTS query, direction, count, execute_once
#endif

/* PostgreSQL 18 has pg_noreturn, which is written before the declaration. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* PostgreSQL 19's scans take options. */
#if PG_VERSION_NUM >= 190000
#define table_scan_all(relation, snapshot) \
	table_beginscan(relation, snapshot, 0, NULL, SO_NONE)
#define table_scan_tid_range(relation, snapshot, first, last) \
	table_beginscan_tidrange(relation, snapshot, first, last, SO_NONE)
#else
#define table_scan_all(relation, snapshot) \
	table_beginscan(relation, snapshot, 0, NULL)
#define table_scan_tid_range(relation, snapshot, first, last) \
	table_beginscan_tidrange(relation, snapshot, first, last)
#endif

/* PostgreSQL 19 put the session's replication origin into a struct. */
#if PG_VERSION_NUM >= 190000
#define session_has_replication_origin() \
	(replorigin_xact_state.origin != InvalidReplOriginId)
#else
#define session_has_replication_origin() (replorigin_session_origin != InvalidRepOriginId)
#endif

/* PostgreSQL 18 gives the module a name and a version that SQL can see. */
#if PG_VERSION_NUM >= 180000
#define OTEL_LINKS_MODULE_MAGIC(name_) \
	PG_MODULE_MAGIC_EXT(.name = name_, .version = OTEL_LINKS_VERSION)
#else
#define OTEL_LINKS_MODULE_MAGIC(name_) PG_MODULE_MAGIC
#endif

/* In PostgreSQL 17, an event set may belong to a resource owner; ours belongs to none. */
#if PG_VERSION_NUM >= 170000
#define CreateSessionWaitEventSet(nevents) CreateWaitEventSet(NULL, nevents)
#else
#define CreateSessionWaitEventSet(nevents) CreateWaitEventSet(CurrentMemoryContext, nevents)
#endif

#define OTEL_LINKS_VERSION "1.0"

#endif
