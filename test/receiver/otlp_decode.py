"""OTLP trace requests as plain dictionaries.

The bytes are decoded with the official classes of the package opentelemetry-proto, and then checked
for what those classes let through: identifiers of the right length, unique attribute keys, and the
rules by which OTLP's JSON differs from protobuf's own JSON mapping.
"""

import base64
import gzip
import json

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

_ID_FIELDS = {"traceId", "spanId", "parentSpanId"}
_ENUM_FIELDS = {"kind", "code"}
_INT64_FIELDS = {"startTimeUnixNano", "endTimeUnixNano", "timeUnixNano", "intValue"}


class InvalidRequest(ValueError):
    """The request breaks OTLP; a real receiver answers 400."""


def decode_request(body, content_type, content_encoding=None):
    """The spans of an ExportTraceServiceRequest, each a dictionary (see span_to_dict)."""
    try:
        if content_encoding == "gzip":
            body = gzip.decompress(body)
        elif content_encoding not in (None, "", "identity"):
            raise InvalidRequest(f"content encoding {content_encoding}")
        request = _parse(body, content_type.partition(";")[0].strip().lower())
    except (
        OSError,
        EOFError,
        DecodeError,
        json_format.ParseError,
        UnicodeDecodeError,
        json.JSONDecodeError,
    ) as e:
        raise InvalidRequest(f"{type(e).__name__}: {e}") from e
    return [
        span_to_dict(span, scope_spans, resource_spans)
        for resource_spans in request.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]


def encode_response(content_type, rejected_spans=0, error_message=""):
    response = trace_service_pb2.ExportTraceServiceResponse()
    if rejected_spans or error_message:
        response.partial_success.rejected_spans = rejected_spans
        response.partial_success.error_message = error_message
    if content_type.startswith(JSON):
        return json_format.MessageToJson(response).encode()
    return response.SerializeToString()


def span_to_dict(span, scope_spans, resource_spans):
    """A span with scope and resource: ids in hex, times in nanoseconds, attributes as values."""
    return {
        "trace_id": _id(span.trace_id, 16, "trace_id"),
        "span_id": _id(span.span_id, 8, "span_id"),
        "parent_span_id": _id(span.parent_span_id, 8, "parent_span_id", may_be_empty=True),
        "trace_state": span.trace_state,
        "flags": span.flags,
        "name": span.name,
        "kind": trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        "start_time_unix_nano": span.start_time_unix_nano,
        "end_time_unix_nano": span.end_time_unix_nano,
        "attributes": attributes_to_dict(span.attributes),
        "attribute_types": {a.key: a.value.WhichOneof("value") for a in span.attributes},
        "dropped_attributes_count": span.dropped_attributes_count,
        "events": [
            {
                "time_unix_nano": event.time_unix_nano,
                "name": event.name,
                "attributes": attributes_to_dict(event.attributes),
                "dropped_attributes_count": event.dropped_attributes_count,
            }
            for event in span.events
        ],
        "dropped_events_count": span.dropped_events_count,
        "links": [
            {
                "trace_id": _id(link.trace_id, 16, "a link's trace_id"),
                "span_id": _id(link.span_id, 8, "a link's span_id"),
                "trace_state": link.trace_state,
                "flags": link.flags,
                "attributes": attributes_to_dict(link.attributes),
                "dropped_attributes_count": link.dropped_attributes_count,
            }
            for link in span.links
        ],
        "dropped_links_count": span.dropped_links_count,
        "status": {
            "code": trace_pb2.Status.StatusCode.Name(span.status.code)
            .removeprefix("STATUS_CODE_")
            .lower(),
            "message": span.status.message,
        },
        "scope": {
            "name": scope_spans.scope.name,
            "version": scope_spans.scope.version,
            "attributes": attributes_to_dict(scope_spans.scope.attributes),
            "schema_url": scope_spans.schema_url,
        },
        "resource": {
            "attributes": attributes_to_dict(resource_spans.resource.attributes),
            "schema_url": resource_spans.schema_url,
        },
    }


def attributes_to_dict(attributes):
    plain = {}
    for attribute in attributes:
        if not attribute.key:
            raise InvalidRequest("an attribute with an empty key")
        if attribute.key in plain:
            raise InvalidRequest(f"two attributes {attribute.key!r}")
        plain[attribute.key] = _value(attribute.value)
    return plain


def _value(value):
    """An AnyValue: bytes become {"bytes_value": base64}, an empty value None."""
    which = value.WhichOneof("value")
    if which is None:
        return None
    if which == "array_value":
        return [_value(v) for v in value.array_value.values]
    if which == "kvlist_value":
        return attributes_to_dict(value.kvlist_value.values)
    if which == "bytes_value":
        return {"bytes_value": base64.b64encode(value.bytes_value).decode()}
    return getattr(value, which)


def _id(value, size, what, may_be_empty=False):
    if may_be_empty and not value:
        return ""
    if len(value) != size or not any(value):
        raise InvalidRequest(f"{what} is {value.hex() or 'empty'}")
    return value.hex()


def _parse(body, content_type):
    request = trace_service_pb2.ExportTraceServiceRequest()
    if content_type == PROTOBUF:
        request.ParseFromString(body)
    elif content_type == JSON:
        json_format.ParseDict(
            _from_otlp_json(json.loads(body, object_pairs_hook=_unique_keys)), request
        )
    else:
        raise InvalidRequest(f"content type {content_type}")
    return request


def _unique_keys(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidRequest("an object with a key twice")
    return members


def _from_otlp_json(node, name=None):
    """OTLP's JSON converted to protobuf's own: ids are hex in the former, base64 in the latter.

    Also refuses what protobuf's parser would take and OTLP does not allow: names with underscores,
    enums by name, 64-bit integers as JSON numbers (allowed to a receiver, but no sender should
    count on it).
    """
    if isinstance(node, dict):
        for key in node:
            if "_" in key:
                raise InvalidRequest(f"member {key!r} is not in lowerCamelCase")
        return {key: _from_otlp_json(value, key) for key, value in node.items()}
    if isinstance(node, list):
        return [_from_otlp_json(value, name) for value in node]
    if name in _ID_FIELDS:
        try:
            return base64.b64encode(bytes.fromhex(node)).decode()
        except ValueError as e:
            raise InvalidRequest(f"{name} is not hex: {node!r}") from e
    if name in _ENUM_FIELDS and not isinstance(node, int):
        raise InvalidRequest(f"{name} is not an integer: {node!r}")
    if name in _INT64_FIELDS and not isinstance(node, str):
        raise InvalidRequest(f"{name} is not a string: {node!r}")
    return node
