/*
 * resource.c: the resource of this server and database, and the request around the spans.
 *
 * otel.resource_attributes takes precedence over the values determined here, with two exceptions:
 * otel.service_name wins over its service.name, and its telemetry.sdk.* are ignored, because they
 * say what this library is.
 */
#include "postgres.h"

#include <unistd.h>

#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "common/cryptohash.h"
#include "common/sha1.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "postmaster/postmaster.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/uuid.h"

#include "exporter/otlp/key_values.h"
#include "compat.h"
#include "exporter/pairs.h"
#include "exporter/otlp/fields.h"
#include "exporter/resource.h"
#include "exporter/otlp/utf8.h"

/* The first version with stable conventions for databases; trace_job()'s spans follow them. */
#define SCHEMA_URL "https://opentelemetry.io/schemas/1.33.0"

/* OpenTelemetry's namespace for a service.instance.id that is a UUID of version 5. */
static const uint8 instance_namespace[UUID_LEN] = {
	0x4d, 0x63, 0x00, 0x9a, 0x8d, 0x0f, 0x11, 0xee, 0xaa, 0xd7, 0x4c, 0x79, 0x6e, 0xd8, 0xe3, 0x20
};

typedef struct ResourceAttribute
{
	const char *key;
	const char *value;
} ResourceAttribute;

/* In the order they are sent.  OpenTelemetry has no limit on how many a resource may have. */
typedef struct ResourceAttributes
{
	List	   *items;
} ResourceAttributes;

/* Sets an attribute; the first value given for a key stays. */
static void
add_attribute(ResourceAttributes *attributes, const char *key, const char *value)
{
	ResourceAttribute *attribute;
	ListCell   *cell;

	foreach(cell, attributes->items)
	{
		if (strcmp(((ResourceAttribute *) lfirst(cell))->key, key) == 0)
			return;
	}
	attribute = palloc(sizeof(ResourceAttribute));
	attribute->key = key;
	attribute->value = value;
	attributes->items = lappend(attributes->items, attribute);
}

/* A value in the database's encoding as UTF-8. */
static const char *
utf8(const char *value)
{
	int			len = strlen(value);

	utf8_convert_lossy(&value, &len);
	return pnstrdup(value, len);
}

/* A pair of otel.resource_attributes. */
static bool
add_user_attribute(const char *key, const char *value, void *arg)
{
	if (strncmp(key, "telemetry.sdk.", strlen("telemetry.sdk.")) == 0)
		return true;
	if (!pg_verify_mbstr(PG_UTF8, key, strlen(key), true) ||
		!pg_verify_mbstr(PG_UTF8, value, strlen(value), true))
		return false;
	add_attribute(arg, key, value);
	return true;
}

/*
 * Adds those of otel.resource_attributes, all or none: by the specification, the whole value is
 * discarded if any part of it cannot be decoded.  Returns NULL, or a description of the error.
 */
static const char *
add_user_attributes(ResourceAttributes *attributes, const ExporterConfig *config)
{
	List	   *before = list_copy(attributes->items);
	int			where;
	PairsProblem problem = pairs_read(pstrdup(config->resource_attributes), PAIRS_ATTRIBUTES,
									  add_user_attribute, attributes, &where);

	if (problem == PAIRS_FINE)
		return NULL;
	attributes->items = before;
	return psprintf("ignoring otel.resource_attributes: pair %d %s", where,
					pairs_problem_text(problem));
}

/*
 * The service.instance.id of this server and database.  It is made from the system identifier; from
 * host and port, because standbys share that; and from the database, because an instance has one
 * resource and db.namespace differs.  A UUID of version 5 (RFC 4122, 4.3), as the conventions for
 * resources recommend.
 */
static const char *
instance_id(const char *host)
{
	char	   *identity = psprintf(UINT64_FORMAT ".%s.%d.%u", GetSystemIdentifier(), host,
									PostPortNumber, MyDatabaseId);
	pg_cryptohash_ctx *sha1 = pg_cryptohash_create(PG_SHA1);
	uint8		digest[SHA1_DIGEST_LENGTH];
	pg_uuid_t	uuid;

	if (sha1 == NULL || pg_cryptohash_init(sha1) < 0 ||
		pg_cryptohash_update(sha1, instance_namespace, UUID_LEN) < 0 ||
		pg_cryptohash_update(sha1, (const uint8 *) identity, strlen(identity)) < 0 ||
		pg_cryptohash_final(sha1, digest, sizeof(digest)) < 0)
	{
		/* the server's cryptographic library may refuse SHA-1 */
		pg_cryptohash_free(sha1);
		return identity;
	}
	pg_cryptohash_free(sha1);
	memcpy(uuid.data, digest, UUID_LEN);
	uuid.data[6] = (uuid.data[6] & 0x0f) | 0x50;
	uuid.data[8] = (uuid.data[8] & 0x3f) | 0x80;
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&uuid)));
}

/* Collects all attributes.  Returns NULL, or a description of the error in the user's settings. */
static const char *
collect_attributes(ResourceAttributes *attributes, const ExporterConfig *config)
{
	char		host[256] = "";
	const char *problem;

	attributes->items = NIL;
	if (*config->service_name)
		add_attribute(attributes, "service.name", utf8(config->service_name));
	problem = add_user_attributes(attributes, config);
	if (gethostname(host, sizeof(host) - 1) != 0)
		host[0] = '\0';
	add_attribute(attributes, "service.name", "unknown_service:postgres");
	add_attribute(attributes, "service.instance.id", instance_id(host));
	if (*host)
		add_attribute(attributes, "host.name", pstrdup(host));
	add_attribute(attributes, "db.namespace", utf8(get_database_name(MyDatabaseId)));
	add_attribute(attributes, "telemetry.sdk.name", "otel_links");
	add_attribute(attributes, "telemetry.sdk.language", "c");
	add_attribute(attributes, "telemetry.sdk.version", OTEL_LINKS_VERSION);
	return problem;
}

void
envelope_make(Envelope *envelope, const ExporterConfig *config)
{
	ResourceAttributes attributes;
	Writer	   *w = &envelope->resource;
	ListCell   *cell;
	size_t		start;

	envelope->json = config->json;
	envelope->resource.json = envelope->scope.json = config->json;
	buffer_init(&w->buf);
	envelope->problem = collect_attributes(&attributes, config);
	start = begin_message(w, RESOURCE_SPANS_RESOURCE);
	begin_list(w, RESOURCE_ATTRIBUTES);
	foreach(cell, attributes.items)
	{
		ResourceAttribute *attribute = lfirst(cell);

		put_string_attribute(w, RESOURCE_ATTRIBUTES, attribute->key, attribute->value);
	}
	end_list(w);
	end_message(w, start);
	put_cstring(w, RESOURCE_SPANS_SCHEMA_URL, SCHEMA_URL);

	w = &envelope->scope;
	buffer_init(&w->buf);
	start = begin_message(w, SCOPE_SPANS_SCOPE);
	put_cstring(w, SCOPE_NAME, "otel_links");
	put_cstring(w, SCOPE_VERSION, OTEL_LINKS_VERSION);
	end_message(w, start);
	put_cstring(w, SCOPE_SPANS_SCHEMA_URL, SCHEMA_URL);
}

/* The size of a field that is a message of content bytes, with its tag and length. */
static size_t
message_size(Field f, size_t content)
{
	return pb_varint_size(((uint64) f.number << 3) | PB_LEN) + pb_varint_size(content) + content;
}

static void
put_message_head(ByteBuffer *body, Field f, size_t content)
{
	char	   *p = buffer_reserve(body, 2 * PB_MAX_VARINT);

	p = pb_write_tag(p, f.number, PB_LEN);
	body->len = pb_write_varint(p, content) - body->data;
}

static void
put_json_request(const Envelope *envelope, const char *spans, size_t len, ByteBuffer *body)
{
	buffer_append_cstring(body, "{\"resourceSpans\":[{");
	buffer_append(body, envelope->resource.buf.data, envelope->resource.buf.len);
	buffer_append_cstring(body, ",\"scopeSpans\":[{");
	buffer_append(body, envelope->scope.buf.data, envelope->scope.buf.len);
	buffer_append_cstring(body, ",\"spans\":[");
	buffer_append(body, spans, len > 0 ? len - 1 : 0);	/* without the last comma */
	buffer_append_cstring(body, "]}]}]}");
}

void
envelope_put_request(const Envelope *envelope, const char *spans, size_t len, ByteBuffer *body)
{
	const ByteBuffer *resource = &envelope->resource.buf;
	const ByteBuffer *scope = &envelope->scope.buf;
	size_t		scope_spans = scope->len + len;
	size_t		resource_spans = resource->len +
		message_size(RESOURCE_SPANS_SCOPE_SPANS, scope_spans);

	if (envelope->json)
	{
		put_json_request(envelope, spans, len, body);
		return;
	}
	buffer_reserve(body, resource_spans + 64);
	put_message_head(body, REQUEST_RESOURCE_SPANS, resource_spans);
	buffer_append(body, resource->data, resource->len);
	put_message_head(body, RESOURCE_SPANS_SCOPE_SPANS, scope_spans);
	buffer_append(body, scope->data, scope->len);
	buffer_append(body, spans, len);
}
