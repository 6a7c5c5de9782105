/*
 * citus.c: is Citus loaded?  A setting that its library defines says so.
 */
#include "postgres.h"

#include "utils/guc.h"

#include "citus.h"

bool
citus_is_loaded(void)
{
	static int	loaded = -1;

	if (loaded < 0)
		loaded = GetConfigOption("citus.version", true, false) != NULL;
	return loaded;
}
