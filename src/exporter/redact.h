/*
 * redact.h: keeping headers' values out of what people read.
 *
 * It works on what a stranger sent: no PostgreSQL header, no allocation (test/unit/test_redact.c).
 */
#ifndef OTEL_EXPORTER_REDACT_H
#define OTEL_EXPORTER_REDACT_H

/*
 * Puts stars over what text has of the values: each of them whole, and each of its words but the
 * name of an authentication scheme ("Bearer KEY": a server may quote the key alone).  text may
 * have been cut, so the beginning of a value or word counts at its end.  out is a copy of text of
 * the same length, which gets the stars: text itself stays, because values may overlap.
 */
extern void redact(const char *text, const char *const *values, int nvalues, char *out);

#endif
