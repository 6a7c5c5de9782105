/*
 * test_sqlcommenter.c: what counts as a comment, and what is read in one.  Prints TAP.
 *
 * In the messages, @1 to @9 stand for nine valid traceparents, and #1 to #9 for others of the same
 * traces.  A case's answer is their digit, with "#" before it for the latter and the tracestate
 * behind it when there is one; "" when nothing is found.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/sqlcommenter.h"

static int	ntests = 0;
static int	nfailed = 0;

static void
ok(bool passed, const char *name)
{
	ntests++;
	nfailed += !passed;
	printf("%sok %d - %s\n", passed ? "" : "not ", ntests, name);
}

/* A copy on the heap of exactly its length, for the address sanitizer. */
static char *
expand(const char *text, size_t *len)
{
	static const char pattern[] = "00-4bf92f3577b34da6a3ce929d0e0e4730-00f067aa0ba902b7-01";
	char	   *out = malloc(strlen(text) * sizeof(pattern) + 1);

	*len = 0;
	for (; *text; text++)
	{
		if ((text[0] == '@' || text[0] == '#') && text[1] >= '1' && text[1] <= '9')
		{
			memcpy(out + *len, pattern, sizeof(pattern) - 1);
			if (text[0] == '#')
				out[*len + 51] = '8';
			out[*len + 34] = *++text;
			*len += sizeof(pattern) - 1;
		}
		else
			out[(*len)++] = *text;
	}
	return realloc(out, *len ? *len : 1);
}

static const char *
answer(SqlCommenterMessage *message, int location, int stmt_len)
{
	static SqlCommenterContext context;
	static char text[W3C_TRACESTATE_MAX_LEN + 4];

	if (sqlcommenter_find(message, location, stmt_len, &context) != SQLCOMMENTER_FOUND)
		return "";
	snprintf(text, sizeof(text), "%s%x%s%.*s", context.traceparent.span_id[7] == 0xb8 ? "#" : "",
			 context.traceparent.trace_id[15] & 0xf, context.tracestate_len > 0 ? " " : "",
			 (int) context.tracestate_len, context.tracestate);
	return text;
}

/* The same of a message that is read for this one statement. */
static const char *
first_answer(const char *sql, size_t len, int location, int stmt_len, bool conforming)
{
	SqlCommenterMessage message;

	sqlcommenter_open(&message, sql, len, conforming);
	return answer(&message, location, stmt_len);
}

static void
is(const char *got, const char *expected, const char *name)
{
	ok(strcmp(got, expected) == 0, name);
	if (strcmp(got, expected) != 0)
		printf("# got \"%s\", expected \"%s\"\n", got, expected);
}

/* ---- single statements ---- */

#define ON 1
#define OFF 2
#define BOTH (ON | OFF)

typedef struct Case
{
	const char *name;
	int			conforming;		/* with standard_conforming_strings on, off or both */
	const char *sql;
	const char *expected;
} Case;

static const Case cases[] = {
	/* where a comment may stand */
	{"a comment before the statement", BOTH, "/*traceparent='@1'*/ INSERT", "1"},
	{"a comment within the statement", BOTH, "INSERT /*traceparent='@1'*/ INTO t", "1"},
	{"a comment after the statement", BOTH, "INSERT INTO t /*traceparent='@1'*/", "1"},
	{"a comment after the semicolon", BOTH, "INSERT INTO t; /*traceparent='@1'*/", "1"},
	{"a comment between two semicolons", BOTH, "INSERT INTO t; /*traceparent='@1'*/;", "1"},
	{"a comment between a name and its parenthesis", BOTH, "f/*traceparent='@1'*/(1)", "1"},
	{"an operator right before a comment", BOTH, "SELECT 1+/*traceparent='@1'*/2", "1"},
	{"an operator made of stars right before a comment", BOTH, "SELECT 1 */*traceparent='@1'*/2",
		"1"},
	{"of two contexts of one trace the last counts", BOTH,
	"/*traceparent='@1'*/ f /*traceparent='#1'*/ /*a='b'*/", "#1"},
	{"of two contexts of different traces none counts", BOTH,
	"/*traceparent='@1'*/ f /*traceparent='@2'*/", ""},
	{"nor does the third, of the first one's trace", BOTH,
	"/*traceparent='@1'*/ f /*traceparent='@2'*/ g /*traceparent='#1'*/", ""},
	{"a context that is there twice", BOTH, "/*traceparent='@1'*/ f /*traceparent='@1'*/", "1"},
	{"before and after the semicolon, of one trace", BOTH,
	"f /*traceparent='@1'*/; /*traceparent='#1'*/", "#1"},
	{"before and after the semicolon, of two traces", BOTH,
	"f /*traceparent='@1'*/; /*traceparent='@2'*/", ""},
	{"an invalid context does not hide a valid one", BOTH,
		"/*traceparent='@1'*/ f /*traceparent='00-x'*/", "1"},
	{"no comment", BOTH, "INSERT INTO t VALUES ('traceparent')", ""},
	{"an empty message", BOTH, "", ""},

	/* what is no comment */
	{"a line comment", BOTH, "f -- /*traceparent='@1'*/\n", ""},
	{"a line comment without an end", BOTH, "f -- /*traceparent='@1'*/", ""},
	{"a line comment ends at a carriage return", BOTH, "f -- x\r/*traceparent='@1'*/", "1"},
	{"a line comment ends at a DOS line end", BOTH, "f -- x\r\n/*traceparent='@1'*/", "1"},
	{"a line comment opens no literal", BOTH, "f -- don't\n/*traceparent='@1'*/ 'x'", "1"},
	{"a literal", BOTH, "f('/*traceparent=@1*/')", ""},
	{"a literal with a doubled quote", BOTH, "f('''/*traceparent=@1*/')", ""},
	{"two hyphens in a literal open no line comment", BOTH, "f('--')/*traceparent='@1'*/", "1"},
	{"a comment after a literal", BOTH, "f('''')/*traceparent='@1'*/", "1"},
	{"a comment that opens no literal", BOTH, "f /*don't*/ /*traceparent='@1'*/ 'x'", "1"},
	{"a quoted identifier", BOTH, "SELECT \"/*traceparent=@1*/\"", ""},
	{"a quoted identifier with a doubled quote", BOTH, "SELECT \"a\"\"/*traceparent=@1*/\"", ""},
	{"a backslash in a quoted identifier", BOTH, "SELECT \"\\\"/*traceparent='@1'*/", "1"},
	{"a Unicode identifier", BOTH, "SELECT U&\"/*traceparent=@1*/\"", ""},
	{"a literal without an end", BOTH, "f('/*traceparent=@1*/", ""},
	{"a quoted identifier without an end", BOTH, "f(\"/*traceparent=@1*/", ""},
	{"a comment without an end", BOTH, "f /*traceparent='@1',", ""},
	{"a comment whose nested comment takes its end", BOTH, "f /*traceparent='@1' /* */", ""},
	{"a lone slash at the end", BOTH, "traceparent /", ""},
	{"the shortest that is no comment", BOTH, "traceparent /*/", ""},

	/* backslashes */
	{"a backslash ends nothing in a standard literal", ON, "f('\\')/*traceparent='@1'*/", "1"},
	{"a backslash hides a quote when strings do not conform", OFF, "f('\\')/*traceparent=@1*/')",
		""},
	{"a backslash hides a quote in E''", BOTH, "f(E'\\'/*traceparent=@1*/')", ""},
	{"a backslash hides a backslash in e''", BOTH, "f(e'\\\\')/*traceparent='@1'*/", "1"},
	{"a word that ends in e is no prefix", ON, "SELECT type'\\'/*traceparent='@1'*/", "1"},
	{"a multi-byte word that ends in e is no prefix", ON,
		"SELECT \xc3\xa9" "e'\\'/*traceparent='@1'*/", "1"},
	{"U&'' has no such escapes", ON, "SELECT U&'\\'/*traceparent='@1'*/", "1"},
	{"B'' never has escapes", BOTH, "SELECT B'\\'/*traceparent='@1'*/", "1"},
	{"x'' never has escapes", BOTH, "SELECT x'\\'/*traceparent='@1'*/", "1"},
	{"N'' is a plain literal: on", ON, "SELECT N'\\'/*traceparent='@1'*/", "1"},
	{"N'' is a plain literal: off", OFF, "SELECT N'\\'/*traceparent=@1*/'", ""},
	{"E'' carried on in another line", BOTH, "f(E'a'\n'\\'/*traceparent=@1*/')", ""},
	{"E'' carried on after a line comment", BOTH, "f(E'a' -- '\n '\\'/*traceparent=@1*/')", ""},
	{"E'' and another literal in its line", ON, "f(E'a' '\\'/*traceparent='@1'*/", "1"},
	{"B'' carried on in another line", OFF, "f(B'0'\r\n'\\'/*traceparent='@1'*/", "1"},
	{"E'' that ends in a backslash", BOTH, "traceparent E'\\", ""},

	/* dollar quotes */
	{"a dollar quote", BOTH, "f($$/*traceparent='@1'*/$$)", ""},
	{"a dollar quote with a tag", BOTH, "f($a$ $$ $b$ /*traceparent='@1'*/ $a$)", ""},
	{"a comment after a dollar quote", BOTH, "f($a$ ' $a$)/*traceparent='@1'*/", "1"},
	{"a multi-byte tag", BOTH, "f($\xc3\xa9$ /*traceparent='@1'*/ $\xc3\xa9$)", ""},
	{"a tag with a digit", BOTH, "f($a1$ /*traceparent='@1'*/ $a1$)", ""},
	{"a tag is read with its case", BOTH, "f($A$ $a$ /*traceparent='@1'*/ $A$)", ""},
	{"a dollar sign before the end of a dollar quote", BOTH, "f($a$ $$a$ /*traceparent='@1'*/)",
		"1"},
	{"a dollar sign inside a name", BOTH, "SELECT a$b$ /*traceparent='@1'*/ FROM c$b$", "1"},
	{"parameters", BOTH, "f($1,$2) /*traceparent='@1'*/", "1"},
	{"a parameter right before a dollar quote", BOTH, "f($1$$ /*traceparent='@1'*/ $$)", ""},
	{"a number right before a dollar quote", BOTH, "f(1$$ /*traceparent='@1'*/ $$)", ""},
	{"a dollar quote without an end", BOTH, "f($a$ /*traceparent='@1'*/ $b$)", ""},
	{"a lone dollar sign at the end", BOTH, "traceparent $", ""},

	/* nested comments */
	{"after a nested comment", BOTH, "f /* /* x */ traceparent='@1' */", "1"},
	{"before a nested comment", BOTH, "f /*traceparent='@1'/* x */*/", "1"},
	{"only in a nested comment", BOTH, "f /* x /*traceparent='@1'*/ */", ""},
	{"two levels down and up again", BOTH, "f /* /* /* ' */ */,traceparent='@1'*/", "1"},
	{"stars at the end", BOTH, "f /***traceparent='@1'***/ g /* traceparent='@1'***/", "1"},
	{"slashes at the start", BOTH, "f //*/**/ traceparent='@1'*/", "1"},

	/* the list of pairs */
	{"SQLCommenter", BOTH, "f /*a='b',traceparent='@1',z='x'*/", "1"},
	{"a tracestate beside it", BOTH, "f /*traceparent='@1',tracestate='a=1,b=2'*/", "1 a=1,b=2"},
	{"a tracestate before it", BOTH, "f /*tracestate='a=1',x='y',traceparent='@1'*/", "1 a=1"},
	{"a tracestate in another comment", BOTH, "f /*tracestate='a=1'*/ /*traceparent='@1'*/", "1"},
	{"an invalid tracestate is dropped", BOTH, "f /*tracestate='=',traceparent='@1'*/", "1"},
	{"a percent-encoded tracestate", BOTH, "f /*traceparent='@1',tracestate='a%3D1%2Cb%3d2'*/",
		"1 a=1,b=2"},
	{"doubled percent signs", BOTH, "f /*traceparent='@1',tracestate='a%%3D1%%2Cb%%3D2'*/",
		"1 a=1,b=2"},
	{"an encoded percent sign is decoded once", BOTH,
		"f /*traceparent='@1',tracestate='a%3D%253D'*/", "1 a=%3D"},
	{"a percent sign that begins no code", BOTH, "f /*traceparent='@1',tracestate='a=%zz%4'*/",
		"1 a=%zz%4"},
	{"an escaped quote", BOTH, "f /*a='it\\'s, traceparent=@2',traceparent='@1'*/", "1"},
	{"an escaped quote in a tracestate", BOTH, "f /*traceparent='@1',tracestate='a=it\\'s'*/",
		"1 a=it's"},
	{"an escaped backslash before the closing quote", BOTH, "f /*a='\\\\',traceparent='@1'*/", "1"},
	{"without quotes", BOTH, "f /*a=b,traceparent=@1,c=d*/", "1"},
	{"marginalia", BOTH, "f /*application:shop,traceparent:@1,job:x*/", "1"},
	{"marginalia with quotes", BOTH, "f /*application:'shop',traceparent:'@1'*/", "1"},
	{"separated by white space", BOTH, "f /* a='b'\n\ttraceparent='@1' */", "1"},
	{"white space inside the value's quotes", BOTH, "f /*traceparent=' @1 '*/", "1"},
	{"a hint in front of it", BOTH, "f /*+ SeqScan(t) traceparent='@1' */", "1"},
	{"a version to come", BOTH,
		"f /*traceparent='01-4bf92f3577b34da6a3ce929d0e0e4735-00f067aa0ba902b7-01-x'*/", "5"},
	{"not in another key's value", BOTH, "f /*a='traceparent=@1'*/", ""},
	{"not in another key's value without quotes", BOTH, "f /*url=http://x/?traceparent=@1*/", ""},
	{"not at the end of a longer key", BOTH, "f /*x-traceparent='@1',xtraceparent='@1'*/", ""},
	{"not at the start of a longer key", BOTH, "f /*traceparent2='@1'*/", ""},
	{"not under another spelling", BOTH, "f /*Traceparent='@1'*/ /*traceparent='x'*/", ""},
	{"not with a space before the value", BOTH, "f /*traceparent= '@1'*/", ""},
	{"not behind a quote that is not closed", BOTH, "f /*a='b, traceparent=@1*/", ""},
	{"not when its own quote is not closed", BOTH, "f /*traceparent='@1*/", ""},
	{"an apostrophe in prose hides nothing", BOTH, "f /* don't, traceparent='@1' */", "1"},
	{"what touches a closing quote is no key", BOTH, "f /*a='b'traceparent='@1'*/", ""},
	{"a value of nothing but zeros", BOTH,
		"f /*traceparent='00-00000000000000000000000000000000-00f067aa0ba902b7-01'*/", ""},
	{"upper-case hex", BOTH,
		"f /*traceparent='00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01'*/", ""},
	{"two traceparents: the last, and nobody's tracestate", BOTH,
	"f /*traceparent='@1',tracestate='a=1',traceparent='#1'*/", "#1"},
	{"two traceparents of different traces", BOTH, "f /*traceparent='@1',traceparent='@2'*/", ""},
	{"the tracestate of the last of two comments", BOTH,
	"/*traceparent='@1',tracestate='a=1'*/ f /*traceparent='#1',tracestate='b=2'*/", "#1 b=2"},
	{"no tracestate where only the first has one", BOTH,
	"/*traceparent='@1',tracestate='a=1'*/ f /*traceparent='#1'*/", "#1"},
	{"two tracestates: none", BOTH, "f /*traceparent='@1',tracestate='a=1',tracestate='b=2'*/",
		"1"},
	{"a nested comment in a value is white space", BOTH,
		"f /*traceparent='/* ' */@1',tracestate='a=1'*/", "1 a=1"},
	{"a nested comment ends a value without quotes", BOTH, "f /*traceparent=@1/**/x*/", "1"},
	{"a comment of separators", BOTH, "/*,,= ,=':'traceparent ,*/", ""},
};

static void
test_single_statements(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		size_t		len;
		char	   *sql = expand(cases[i].sql, &len);

		if (cases[i].conforming & ON)
			is(first_answer(sql, len, 0, 0, true), cases[i].expected, cases[i].name);
		if (cases[i].conforming & OFF)
			is(first_answer(sql, len, 0, 0, false), cases[i].expected, cases[i].name);
		free(sql);
	}
}

/* ---- several statements ---- */

#define MAX_STATEMENTS 4

/*
 * In these messages, "|" stands where PostgreSQL 15 has a statement begin, "<" where 18 does, and
 * ">" where it ends.  expected has what each statement must get; unknown, what one gets whose place
 * is not known.
 */
typedef struct Message
{
	const char *name;
	const char *sql;
	const char *expected[MAX_STATEMENTS];
	const char *unknown;
} Message;

static const Message messages[] = {
	{"each its own",
		"|/*traceparent='@1'*/ <A>;|/*traceparent='@2'*/ <B>;| <C /*traceparent='@3'*/>",
	{"1", "2", "3"}, ""},
	{"one without, between two", "|<A /*traceparent='@1'*/>;| <B>;| <C /*traceparent='@3'*/>;",
	{"1", "", "3"}, ""},
	{"one context before all statements", "|/*traceparent='@1'*/ <A>;| <B>;| <C>", {"1", "1", "1"},
		"1"},
	{"one context at the first", "|<A /*traceparent='@1'*/>;| <B>;| <C>", {"1", "1", "1"}, "1"},
	{"one context at the second", "|<A>;|/*traceparent='@2'*/ <B>;| <C>", {"2", "2", "2"}, "2"},
	{"one context after the last semicolon", "|<A>;| <B>;| <C>; /*traceparent='@3'*/",
	{"3", "3", "3"}, "3"},
	{"one context between two semicolons", "|<A>; /*traceparent='@1'*/;| <B>", {"1", "1"}, "1"},
	{"one context at two of three", "|<A /*traceparent='@1'*/>;|<B /*traceparent='@1'*/>;| <C>",
	{"1", "1", "1"}, "1"},
	{"one context and an invalid one", "|<A>;|<B /*traceparent='@2'*/>; /*traceparent='@'*/",
	{"2", "2"}, "2"},
	{"contexts of one trace are several",
		"|<A /*traceparent='@1'*/>;|<B /*traceparent='#1'*/>;|<C>",
	{"1", "#1", ""}, ""},
	{"contexts of two traces around the last semicolon",
	"|<A>;|<B /*traceparent='@2'*/>; /*traceparent='@3'*/; -- end", {"", ""}, ""},
	{"contexts of one trace around the last semicolon",
	"|<A>;|<B /*traceparent='@2'*/>; /*traceparent='#2'*/; -- end", {"", "#2"}, ""},
	{"between two semicolons of several, so nobody's",
	"|<A /*traceparent='@2'*/>; /*traceparent='@1'*/;| <B>", {"2", ""}, ""},
	{"two traces at one of two statements",
	"|<A /*traceparent='@1'*/>;|/*traceparent='@2'*/ <B /*traceparent='@3'*/>", {"1", ""}, ""},
	{"semicolons in literals and comments",
	"|<A ';/*traceparent=@9*/' /*traceparent='@1'*/>;|"
		" /*;*/ <B \";\" $$;$$ /*traceparent='@2'*/>;|<C>",
	{"1", "2", ""}, ""},
	{"line comments that hold a semicolon or half a comment",
	"|<A>;| /*traceparent='@2'*/ -- /* ;\n<B>;| /*traceparent='@3'*/ -- */ ;\n <C>", {"", "2", "3"},
		""},
	{"the semicolons of a routine's body",
	"|<A /*traceparent='@1'*/>;|<B BEGIN ATOMIC; x /*traceparent='@2'*/; y; END>;|<C>",
		{"1", "2", ""}, ""},
	{"one statement", "|/*traceparent='@1'*/ <A /*traceparent='#1'*/>;", {"#1"}, "#1"},
	{"one statement with contexts of two traces", "|/*traceparent='@1'*/ <A /*traceparent='@2'*/>",
		{""}, ""},
};

static void
test_message(const Message *message)
{
	const char *sql = message->sql;
	char	   *plain = malloc(strlen(sql) + 1);
	size_t		begin[2][MAX_STATEMENTS];
	size_t		end[MAX_STATEMENTS];
	SqlCommenterMessage reading[2];
	size_t		offset = 0;
	size_t		len;
	size_t		n = 0;
	char	   *copy;

	for (; *sql; sql++)
	{
		plain[offset] = '\0';
		free(expand(plain, &len));	/* how far a traceparent has moved it */
		if (*sql == '|')
			begin[0][n] = len;
		else if (*sql == '<')
			begin[1][n] = len;
		else if (*sql == '>')
			end[n++] = len;
		else
			plain[offset++] = *sql;
	}
	plain[offset] = '\0';
	copy = expand(plain, &len);
	for (int style = 0; style < 2; style++)
		sqlcommenter_open(&reading[style], copy, len, true);

	for (size_t i = 0; i < n; i++)
		for (int style = 0; style < 2; style++)
		{
			int			location = (int) begin[style][i];
			int			stmt_len = end[i] < len ? (int) end[i] - location : 0;
			char		name[200];

			snprintf(name, sizeof(name), "%s: statement %d as PostgreSQL %d has it",
					 message->name, (int) i + 1, style == 0 ? 15 : 18);
			is(first_answer(copy, len, location, stmt_len, true), message->expected[i], name);
			strcat(name, ", reading on");
			is(answer(&reading[style], location, stmt_len), message->expected[i], name);
			strcat(name, ", again");
			is(answer(&reading[style], location, stmt_len), message->expected[i], name);
		}
	is(first_answer(copy, len, -1, -1, true), message->unknown, message->name);
	is(first_answer(copy, len, 0, 0, true), message->unknown, message->name);
	free(copy);
	free(plain);
}

/* ---- why nothing is found ---- */

static void
result_is(const char *sql, int location, int stmt_len, SqlCommenterResult expected,
	const char *name)
{
	SqlCommenterMessage message;
	static SqlCommenterContext context;
	size_t		len;
	char	   *copy = expand(sql, &len);

	sqlcommenter_open(&message, copy, len, true);
	ok(sqlcommenter_find(&message, location, stmt_len, &context) == expected, name);
	free(copy);
}

static void
test_results(void)
{
	SqlCommenterMessage message;
	static SqlCommenterContext context;
	const char *zero =
		"f /*traceparent='00-00000000000000000000000000000000-00f067aa0ba902b7-01'*/";

	result_is("f 'traceparent' /*x*/", 0, 0, SQLCOMMENTER_NONE, "no comment with a traceparent");
	result_is("f /*traceparent='@'*/", 0, 0, SQLCOMMENTER_MALFORMED, "an invalid traceparent");
	result_is("f /*traceparent='@1'*/;g /*traceparent='@2'*/;h", 152, 0,
			  SQLCOMMENTER_OTHER_STATEMENT, "contexts of other statements");
	result_is("f /*traceparent='@1'*/ g /*traceparent='@2'*/", 0, 0, SQLCOMMENTER_TRACES_DIFFER,
			  "contexts of different traces");
	result_is("f /*traceparent='@1'*/; g /*traceparent='@2'*/", 0, 0, SQLCOMMENTER_PLACE_UNKNOWN,
			  "several contexts and a statement anywhere");

	sqlcommenter_open(&message, zero, strlen(zero), true);
	sqlcommenter_find(&message, 0, 0, &context);
	ok(sqlcommenter_error(&message) == W3C_TRACEPARENT_TRACE_ID_ZERO, "what is wrong with it");
}

/* ---- sizes ---- */

/* A message of about size bytes: head, much of filler, tail. */
static char *
big_message(const char *head, const char *filler, const char *tail, size_t size, size_t *len)
{
	char	   *out = malloc(size);
	size_t		pos = strlen(head);
	size_t		end = size - strlen(tail);

	memcpy(out, head, pos);
	for (; pos + strlen(filler) <= end; pos += strlen(filler))
		memcpy(out + pos, filler, strlen(filler));
	memcpy(out + pos, tail, strlen(tail));
	*len = pos + strlen(tail);
	return out;
}

#define CONTEXT "traceparent='00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01'"

#define OTHER_CONTEXT "traceparent='00-4bf92f3577b34da6a3ce929d0e0e4732-00f067aa0ba902b7-01'"

static void
test_big(const char *name, const char *head, const char *filler, const char *tail,
		 const char *expected)
{
	size_t		len;
	char	   *sql = big_message(head, filler, tail, 50 * 1000 * 1000, &len);

	is(first_answer(sql, len, 0, 0, true), expected, name);
	free(sql);
}

static void
test_sizes(void)
{
	test_big("50 MB of rows before the comment", "INSERT INTO t VALUES (0, '')",
		",(1,'it''s', E'\\'')",
			 "/*" CONTEXT "*/", "1");
	test_big("50 MB of rows after the comment", "/*" CONTEXT "*/INSERT INTO t VALUES (0, '')",
			 ",(1,'it''s', E'\\'')", "", "1");
	test_big("50 MB of literal", "SELECT '", "/*" CONTEXT "*/''", "'", "");
	test_big("50 MB of dollar quote", "SELECT $a$", "/*" CONTEXT "*/$", "$a$", "");
	test_big("50 MB of open comments", "SELECT /*" CONTEXT, "/*", "", "");
	test_big("50 MB of comments", "SELECT 1", "/*" CONTEXT "*/", "/*x*/", "1");
	test_big("50 MB of comment", "SELECT 1/*", " a=b,", CONTEXT "*/", "1");
	test_big("50 MB of tracestate", "SELECT 1/*" CONTEXT ",tracestate='", "a=b,", "'*/", "1");
	test_big("50 MB of traceparent", "SELECT 1/*traceparent='", " ", "'*/", "");
}

/*
 * No time is measured, because a busy machine would disturb that: reading the whole message for
 * each statement would take minutes.
 */
static void
test_many_statements(void)
{
	static const char pair[] =
		"/*" CONTEXT "*/INSERT INTO t VALUES ('x');"
		"/*" OTHER_CONTEXT "*/INSERT INTO t VALUES ('x');";
	size_t		stride = (sizeof(pair) - 1) / 2;
	size_t		comment = sizeof("/*" CONTEXT "*/") - 1;
	size_t		n = 50000;
	size_t		len;
	char	   *sql = big_message("", pair, "", n * stride, &len);
	size_t		found = 0;
	SqlCommenterMessage message;

	sqlcommenter_open(&message, sql, len, true);
	for (size_t i = 0; i < n; i++)
	{
		const char *expected = i % 2 == 0 ? "1" : "2";

		if (strcmp(answer(&message, (int) (i * stride + comment),
						  sizeof("INSERT INTO t VALUES ('x')") - 1), expected) == 0)
			found++;
	}
	ok(found == n, "50,000 statements in one message");
	free(sql);
}

int
main(void)
{
	test_single_statements();
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
		test_message(&messages[i]);
	test_results();
	test_sizes();
	test_many_statements();
	printf("1..%d\n", ntests);
	return nfailed > 0;
}
