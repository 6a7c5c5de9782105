/*
 * sampler.c: is a new span recorded?
 *
 * The samplers of the OpenTelemetry SDK specification.  A ratio is compared with 56 random bits
 * that are the same for every participant of a trace: those of ot=rv:… in the tracestate, or else
 * the last seven bytes of the trace id (OpenTelemetry, "TraceState: Probability Sampling").
 */
#include "postgres.h"

#include "spans/sampler.h"
#include "settings.h"

#define RANDOMNESS_BITS 56
#define RANDOMNESS_HEX_DIGITS 14

/* Reads the sub-key "rv:" of the tracestate's member "ot", 14 hex digits; false when absent. */
static bool
explicit_randomness(const struct varlena *context, uint64 *randomness)
{
	const char *p = TRACE_CONTEXT(context)->trace_state;
	const char *end = p + TRACE_STATE_LEN(context);

	while (p < end)
	{
		const char *member_end = memchr(p, ',', end - p);

		if (member_end == NULL)
			member_end = end;
		if (member_end - p > 3 && memcmp(p, "ot=", 3) == 0)
		{
			for (p += 3; p < member_end; p++)
			{
				const char *field_end = memchr(p, ';', member_end - p);
				uint8		bytes[RANDOMNESS_HEX_DIGITS / 2];

				if (field_end == NULL)
					field_end = member_end;
				if (field_end - p == 3 + RANDOMNESS_HEX_DIGITS && memcmp(p, "rv:", 3) == 0 &&
					w3c_parse_hex(p + 3, sizeof(bytes), bytes))
				{
					*randomness = 0;
					for (Size i = 0; i < sizeof(bytes); i++)
						*randomness = *randomness << 8 | bytes[i];
					return true;
				}
				p = field_end;
			}
			return false;
		}
		p = member_end + 1;
	}
	return false;
}

static bool
ratio_decides(const uint8 *trace_id, const struct varlena *parent)
{
	const uint64 range = UINT64CONST(1) << RANDOMNESS_BITS;
	uint64		randomness;
	uint64		threshold = (uint64) ((1.0 - otel_sampler_ratio) * (double) range);

	if (parent == NULL || !explicit_randomness(parent, &randomness))
	{
		randomness = 0;
		for (int i = W3C_TRACE_ID_SIZE - RANDOMNESS_BITS / 8; i < W3C_TRACE_ID_SIZE; i++)
			randomness = randomness << 8 | trace_id[i];
	}
	return otel_sampler_ratio > 0.0 && randomness >= threshold;
}

bool
sampler_decide(const uint8 *trace_id, const struct varlena *parent,
			   const SpanLink *links, int nlinks)
{
	switch ((TracesSampler) otel_traces_sampler)
	{
		case SAMPLER_ALWAYS_ON:
			return true;
		case SAMPLER_ALWAYS_OFF:
			return false;
		case SAMPLER_TRACEIDRATIO:
			return ratio_decides(trace_id, parent);
		case SAMPLER_PARENTBASED_ALWAYS_ON:
			return parent ? trace_context_is_sampled(parent) : true;
		case SAMPLER_PARENTBASED_ALWAYS_OFF:
			return parent ? trace_context_is_sampled(parent) : false;
		case SAMPLER_PARENTBASED_TRACEIDRATIO:
			return parent ? trace_context_is_sampled(parent) : ratio_decides(trace_id, NULL);
		case SAMPLER_LINKSBASED_PARENTBASED_ALWAYS_ON:
			for (int i = 0; i < nlinks; i++)
			{
				if (trace_context_is_sampled(links[i].context))
					return true;
			}
			if (nlinks > 0)
				return false;
			return parent ? trace_context_is_sampled(parent) : true;
	}
	return true;
}
