# Two modules from one tree: otel_links (here) and otel_links_http (src/http), which alone needs
# libcurl.
#
# demo, check and the others below are scripts that need nothing installed, so not PGXS either.
COMMANDS     = demo bench check check-interop check-matrix check-assert check-upgrade \
	check-packages check-fresh docs fuzz dist deb

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
ROOMS        = context links queue spans capture span_api lookback exporter exporter/otlp
SOURCES      = $(sort $(wildcard $(srcdir)/src/*.c $(ROOMS:%=$(srcdir)/src/%/*.c)))
OBJS         = $(SOURCES:$(srcdir)/%.c=%.o)
REGRESS      = $(sort $(basename $(notdir $(wildcard $(srcdir)/test/sql/*.sql))))
ISOLATION    = $(sort $(basename $(notdir $(wildcard $(srcdir)/test/specs/*.spec))))
REGRESS_OPTS = --inputdir=$(srcdir)/test
ISOLATION_OPTS = --inputdir=$(srcdir)/test
PG_CPPFLAGS  = -I$(srcdir)/src

PG_CONFIG   ?= pg_config
PGXS        := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# PGXS makes no folders for a build outside of the sources.
ifneq ($(abspath $(srcdir)),$(CURDIR))
$(shell $(MKDIR_P) $(ROOMS:%=src/%) src/http)
endif

HTTP = $(MAKE) -C src/http -f $(abspath $(srcdir))/src/http/Makefile \
	VPATH=$(abspath $(srcdir))/src/http PG_CONFIG='$(PG_CONFIG)'
.PHONY: http http-install http-uninstall http-clean
all: http
install: http-install
uninstall: http-uninstall
clean distclean maintainer-clean: http-clean
http:
	+$(HTTP) all
http-install: http
	+$(HTTP) install
http-uninstall:
	+$(HTTP) uninstall
http-clean:
	+test ! -d src/http || $(HTTP) clean

endif
