# Two modules from one tree: otel_links (here) and otel_links_exporter (src/exporter).
#
# demo, check and the others below are scripts that need nothing installed, so not PGXS either.
COMMANDS     = demo bench check check-interop check-matrix check-fresh check-packages docs fuzz dist deb

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
DATA         = $(sort $(notdir $(wildcard $(srcdir)/otel_links--*.sql)))
MODULE_big   = otel_links
PGFILEDESC   = "otel_links - trace contexts on rows, span links for the jobs that process them"
ROOMS        = context links queue spans capture span_api
SOURCES      = $(sort $(wildcard $(srcdir)/src/*.c $(ROOMS:%=$(srcdir)/src/%/*.c)))
OBJS         = $(SOURCES:$(srcdir)/%.c=%.o) src/exporter/exporter_entry.o
REGRESS      = $(sort $(patsubst $(srcdir)/test/sql/%.sql,%,$(wildcard $(srcdir)/test/sql/*.sql)))
ISOLATION    = $(sort $(patsubst $(srcdir)/test/specs/%.spec,%,$(wildcard $(srcdir)/test/specs/*.spec)))
REGRESS_OPTS = --inputdir=$(srcdir)/test
ISOLATION_OPTS = --inputdir=$(srcdir)/test
PG_CPPFLAGS  = -I$(srcdir)/src

PG_CONFIG   ?= pg_config
PGXS        := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# PGXS makes no folders for a build outside of the sources.
ifneq ($(abspath $(srcdir)),$(CURDIR))
$(shell $(MKDIR_P) $(ROOMS:%=src/%) src/exporter)
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
