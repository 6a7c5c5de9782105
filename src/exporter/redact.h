/*
 * redact.h: keeping headers' values out of logs and messages.
 *
 * It works on what a stranger sent: no PostgreSQL header, no allocation (test/unit/test_redact.c).
 */
#ifndef OTEL_EXPORTER_REDACT_H
#define OTEL_EXPORTER_REDACT_H

/*
 * Puts stars in the place of secrets: of each value that text contains, and of each word of a value
 * but the name of an authentication scheme (of "Bearer KEY", a server may quote the key alone).
 * text may have been cut, so at its end the beginning of a value or word is hidden as well.  out is
 * a copy of text and gets the stars; text itself stays, because values may overlap.
 */
extern void redact(const char *text, const char *const *values, int nvalues, char *out);

#endif
