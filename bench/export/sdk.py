#!/usr/bin/env python3
"""OpenTelemetry's SDK for Python: makes spans with links, exports them by its batch processor.

    sdk.py ENDPOINT LINKS SECONDS

Prints {"spans": …, "seconds": …, "cpu_seconds": …}, a first batch not counted.
"""

import json
import sys
import time

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags

endpoint, nlinks, limit = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
BATCH = 512

provider = TracerProvider(resource=Resource.create({"service.name": "bench"}))
provider.add_span_processor(
    BatchSpanProcessor(
        OTLPSpanExporter(endpoint=endpoint), max_queue_size=2 * BATCH, max_export_batch_size=BATCH
    )
)
tracer = provider.get_tracer("bench")
contexts = [
    SpanContext(0x0AF7651916CD43DD8448EB211C800000 + i, 0xB7AD6B7169200000 + i, True, TraceFlags(1))
    for i in range(nlinks)
]


def make_batch():
    for _ in range(BATCH):
        links = [
            Link(context, {"report.id": i, "report.customer": f"customer {i}"})
            for i, context in enumerate(contexts)
        ]
        tracer.start_span(
            "make_reports",
            kind=SpanKind.CONSUMER,
            links=links,
            attributes={"report.count": nlinks, "job.name": "make_reports"},
        ).end()
    provider.force_flush()


make_batch()
count = 0
start, cpu = time.perf_counter(), time.process_time()
while time.perf_counter() - start < limit:
    make_batch()
    count += BATCH
print(
    json.dumps(
        {
            "spans": count,
            "seconds": time.perf_counter() - start,
            "cpu_seconds": time.process_time() - cpu,
        }
    )
)
