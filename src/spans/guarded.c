/*
 * guarded.c: work within the user's transaction that may fail and must not cost it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/resowner.h"

#include "spans/guarded.h"
#include "spans/late_interrupts.h"

/*
 * An error within a COMMIT or PREPARE TRANSACTION meets an assertion of PostgreSQL's own: at its
 * end RollbackAndReleaseCurrentSubTransaction() does not expect a transaction that is about to end
 * (TBLOCK_END, TBLOCK_PREPARE); a deferred trigger that handles an exception meets it as well.
 * Inside of another subtransaction it has nothing to complain of.  Servers without assertions need
 * not pay for one.  CONTRIBUTING.md has the report to PostgreSQL.
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
