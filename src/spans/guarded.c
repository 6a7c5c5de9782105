/*
 * guarded.c: work within the user's transaction that may fail without aborting it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/resowner.h"

#include "spans/guarded.h"
#include "spans/late_interrupts.h"

/*
 * An error within a COMMIT or PREPARE TRANSACTION fails an assertion of PostgreSQL:
 * RollbackAndReleaseCurrentSubTransaction() does not expect a transaction that is about to end
 * (TBLOCK_END, TBLOCK_PREPARE).  A deferred trigger that handles an exception fails it as well.
 * Another subtransaction around ours avoids that; servers without assertions need not pay for it.
 * CONTRIBUTING.md has the report to PostgreSQL.
 */
static bool
begin_guard(void)
{
	bool		nested = false;

#ifdef USE_ASSERT_CHECKING
	nested = IsTransactionBlock();
	if (nested)
		BeginInternalSubTransaction(NULL);
#endif
	BeginInternalSubTransaction(NULL);
	return nested;
}

ErrorData *
guarded_run(void (*work) (void *arg), void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	bool		nested = begin_guard();

	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		work(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		late_interrupts_hold_again();
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	if (nested)
		ReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	return error;
}
