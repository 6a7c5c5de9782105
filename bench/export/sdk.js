// OpenTelemetry's SDK for Node.js: makes spans with links and exports them by its batch span
// processor.
//
//     sdk.js ENDPOINT LINKS SECONDS
//
// Prints {"spans": …, "seconds": …, "cpu_seconds": …}, without a first round, in which the compiler
// warms up.
'use strict';

const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-proto');
const { BasicTracerProvider, BatchSpanProcessor } = require('@opentelemetry/sdk-trace-base');
const { SpanKind } = require('@opentelemetry/api');

const endpoint = process.argv[2];
const [nlinks, limit] = process.argv.slice(3).map(Number);
const BATCH = 512;
// a flush sends all batches at once, and the exporter refuses more than 30 requests in flight
const ROUND = 8 * BATCH;

const provider = new BasicTracerProvider({
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url: endpoint }),
    { maxQueueSize: ROUND, maxExportBatchSize: BATCH })],
});
const tracer = provider.getTracer('bench');
const contexts = Array.from({ length: nlinks }, (_, i) => ({
  traceId: (0x0af7651916cd43dd8448eb211c800000n + BigInt(i)).toString(16).padStart(32, '0'),
  spanId: (0xb7ad6b7169200000n + BigInt(i)).toString(16),
  traceFlags: 1,
  isRemote: true,
}));

async function makeRound() {
  for (let i = 0; i < ROUND; i++) {
    const links = contexts.map((context, n) => ({
      context,
      attributes: { 'report.id': n, 'report.customer': `customer ${n}` },
    }));
    tracer.startSpan('make_reports', {
      kind: SpanKind.CONSUMER, root: true, links,
      attributes: { 'report.count': nlinks, 'job.name': 'make_reports' },
    }).end();
  }
  await provider.forceFlush();
}

async function main() {
  let spans = 0;
  await makeRound();
  const start = process.hrtime.bigint();
  const cpu = process.cpuUsage();
  const seconds = () => Number(process.hrtime.bigint() - start) / 1e9;
  while (seconds() < limit) {
    await makeRound();
    spans += ROUND;
  }
  const elapsed = seconds();
  const used = process.cpuUsage(cpu);
  const cpuSeconds = (used.user + used.system) / 1e6;
  console.log(JSON.stringify({ spans, seconds: elapsed, cpu_seconds: cpuSeconds }));
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
