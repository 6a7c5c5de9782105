/*
 * wall_clock.c: clocks that a test sets, for LD_PRELOAD.  The file that WALL_CLOCK_FILE names holds
 * a long: seconds that are added to what the wall clock says; so does that of MONOTONIC_CLOCK_FILE
 * for the monotonic clock.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The number in the file that an environment variable names; mapped once. */
static long
offset(const char *variable, volatile long **shared)
{
	const char *path = *shared ? NULL : getenv(variable);
	int			fd;
	void	   *map;

	if (*shared)
		return **shared;
	if (path == NULL || (fd = open(path, O_RDONLY)) < 0)
		return 0;
	map = mmap(NULL, sizeof(long), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return 0;
	*shared = map;
	return **shared;
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	static int	(*real) (clockid_t, struct timespec *);
	static volatile long *wall;
	static volatile long *monotonic;
	int			result;

	if (!real)
		real = (int (*) (clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
	result = real(clock, now);
	if (clock == CLOCK_REALTIME)
		now->tv_sec += offset("WALL_CLOCK_FILE", &wall);
	else if (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_RAW ||
			 clock == CLOCK_MONOTONIC_COARSE)
		now->tv_sec += offset("MONOTONIC_CLOCK_FILE", &monotonic);
	return result;
}

int
gettimeofday(struct timeval *now, void *zone)
{
	struct timespec precise;
	int			result = clock_gettime(CLOCK_REALTIME, &precise);

	now->tv_sec = precise.tv_sec;
	now->tv_usec = precise.tv_nsec / 1000;
	return result;
}

time_t
time(time_t *now)
{
	struct timespec precise;

	(void) clock_gettime(CLOCK_REALTIME, &precise);
	if (now)
		*now = precise.tv_sec;
	return precise.tv_sec;
}
