/*
 * fields.h: the fields of OTLP's messages that the exporter writes, from opentelemetry-proto:
 * collector/trace/v1/trace_service.proto, trace/v1/trace.proto, common/v1/common.proto,
 * resource/v1/resource.proto.
 */
#ifndef OTEL_OTLP_FIELDS_H
#define OTEL_OTLP_FIELDS_H

#include "exporter/otlp/writer.h"

#define FIELD(number_, name_) ((Field) {(number_), (name_)})

#define REQUEST_RESOURCE_SPANS FIELD(1, "resourceSpans")

#define RESOURCE_SPANS_RESOURCE FIELD(1, "resource")
#define RESOURCE_SPANS_SCOPE_SPANS FIELD(2, "scopeSpans")
#define RESOURCE_SPANS_SCHEMA_URL FIELD(3, "schemaUrl")

#define RESOURCE_ATTRIBUTES FIELD(1, "attributes")

#define SCOPE_SPANS_SCOPE FIELD(1, "scope")
#define SCOPE_SPANS_SPANS FIELD(2, "spans")
#define SCOPE_SPANS_SCHEMA_URL FIELD(3, "schemaUrl")

#define SCOPE_NAME FIELD(1, "name")
#define SCOPE_VERSION FIELD(2, "version")

#define SPAN_TRACE_ID FIELD(1, "traceId")
#define SPAN_SPAN_ID FIELD(2, "spanId")
#define SPAN_TRACE_STATE FIELD(3, "traceState")
#define SPAN_PARENT_SPAN_ID FIELD(4, "parentSpanId")
#define SPAN_NAME FIELD(5, "name")
#define SPAN_KIND FIELD(6, "kind")
#define SPAN_START_TIME FIELD(7, "startTimeUnixNano")
#define SPAN_END_TIME FIELD(8, "endTimeUnixNano")
#define SPAN_ATTRIBUTES FIELD(9, "attributes")
#define SPAN_DROPPED_ATTRIBUTES FIELD(10, "droppedAttributesCount")
#define SPAN_EVENTS FIELD(11, "events")
#define SPAN_DROPPED_EVENTS FIELD(12, "droppedEventsCount")
#define SPAN_LINKS FIELD(13, "links")
#define SPAN_DROPPED_LINKS FIELD(14, "droppedLinksCount")
#define SPAN_STATUS FIELD(15, "status")
#define SPAN_FLAGS FIELD(16, "flags")

/*
 * SpanFlags: bits 0 to 7 are the W3C flags.  These two say whether it is known if the context is
 * remote, and if it is.
 */
#define SPAN_FLAGS_HAS_IS_REMOTE 0x100
#define SPAN_FLAGS_IS_REMOTE 0x200

#define EVENT_TIME FIELD(1, "timeUnixNano")
#define EVENT_NAME FIELD(2, "name")
#define EVENT_ATTRIBUTES FIELD(3, "attributes")
#define EVENT_DROPPED_ATTRIBUTES FIELD(4, "droppedAttributesCount")

#define LINK_TRACE_ID FIELD(1, "traceId")
#define LINK_SPAN_ID FIELD(2, "spanId")
#define LINK_TRACE_STATE FIELD(3, "traceState")
#define LINK_ATTRIBUTES FIELD(4, "attributes")
#define LINK_DROPPED_ATTRIBUTES FIELD(5, "droppedAttributesCount")
#define LINK_FLAGS FIELD(6, "flags")

#define STATUS_MESSAGE FIELD(2, "message")
#define STATUS_CODE FIELD(3, "code")

#define KEY_VALUE_KEY FIELD(1, "key")
#define KEY_VALUE_VALUE FIELD(2, "value")

#define ANY_VALUE_STRING FIELD(1, "stringValue")
#define ANY_VALUE_BOOL FIELD(2, "boolValue")
#define ANY_VALUE_INT FIELD(3, "intValue")
#define ANY_VALUE_DOUBLE FIELD(4, "doubleValue")
#define ANY_VALUE_ARRAY FIELD(5, "arrayValue")
#define ANY_VALUE_KVLIST FIELD(6, "kvlistValue")
#define ANY_VALUE_BYTES FIELD(7, "bytesValue")

/* of ArrayValue and KeyValueList alike */
#define VALUES FIELD(1, "values")

#endif
