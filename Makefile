# Two modules from one tree: otel_links (here) and otel_links_exporter (src/exporter).
#
# demo, check and the others below are scripts that need nothing installed, so not PGXS either.
COMMANDS     = demo bench check check-interop check-matrix check-fresh docs fuzz

ifneq ($(filter $(COMMANDS),$(MAKECMDGOALS)),)

.PHONY: $(COMMANDS)
demo:
	demo/run
# make fuzz SECONDS=60; handed over as an argument, because bash has a SECONDS of its own
fuzz:
	scripts/fuzz $(SECONDS)
$(filter-out demo fuzz,$(COMMANDS)):
	scripts/$@

else

EXTENSION    = otel_links
DATA         = otel_links--1.0.sql
MODULE_big   = otel_links
PGFILEDESC   = "otel_links - trace contexts on rows, span links for the jobs that process them"
OBJS         = \
	src/attributes.o \
	src/capture.o \
	src/capture_trigger.o \
	src/carrier.o \
	src/export_functions.o \
	src/exporter_entry.o \
	src/exporter_start.o \
	src/link_agg.o \
	src/link_rows.o \
	src/link_set.o \
	src/otel_links.o \
	src/postgrest.o \
	src/queue.o \
	src/record_exception.o \
	src/running_statement.o \
	src/sampler.o \
	src/settings.o \
	src/span.o \
	src/span_args.o \
	src/span_functions.o \
	src/span_link.o \
	src/span_xact.o \
	src/sql_lexer.o \
	src/sqlcommenter.o \
	src/trace_context.o \
	src/trace_job.o \
	src/w3c.o
REGRESS      = $(sort $(patsubst $(srcdir)/sql/%.sql,%,$(wildcard $(srcdir)/sql/*.sql)))
ISOLATION    = $(sort $(patsubst $(srcdir)/specs/%.spec,%,$(wildcard $(srcdir)/specs/*.spec)))
PG_CPPFLAGS  = -I$(srcdir)/src

PG_CONFIG   ?= pg_config
PGXS        := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# PGXS makes no folders for a build outside of the sources.
ifneq ($(abspath $(srcdir)),$(CURDIR))
$(shell $(MKDIR_P) src/exporter)
endif

EXPORTER = $(MAKE) -C src/exporter -f $(abspath $(srcdir))/src/exporter/Makefile \
	VPATH=$(abspath $(srcdir))/src/exporter PG_CONFIG='$(PG_CONFIG)'
.PHONY: exporter exporter-install exporter-uninstall exporter-clean
all: exporter
install: exporter-install
uninstall: exporter-uninstall
clean distclean maintainer-clean: exporter-clean
exporter:
	$(EXPORTER) all
exporter-install: exporter
	$(EXPORTER) install
exporter-uninstall:
	$(EXPORTER) uninstall
exporter-clean:
	test ! -d src/exporter || $(EXPORTER) clean

endif
