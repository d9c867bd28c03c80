# muster. `make help` says what there is.
#
# A variant is a build folder and flags: make B=build/asan SAN=address,undefined

B          ?= build
PREFIX     ?= /usr/local
prefix      = $(PREFIX)
DESTDIR    ?=
BINDIR     ?= $(prefix)/bin
MANDIR     ?= $(prefix)/share/man
BASHDIR    ?= $(prefix)/share/bash-completion/completions
ZSHDIR     ?= $(prefix)/share/zsh/site-functions
FISHDIR    ?= $(prefix)/share/fish/vendor_completions.d
UNITDIR    ?= $(prefix)/lib/systemd/system
USERDIR    ?= $(prefix)/lib/sysusers.d
PKG_CONFIG ?= pkg-config
PYTHON     ?= /usr/bin/python3
SAN        ?=
WERROR     ?=

VERSION := 0.1.0

PKGS     := libmicrohttpd libcurl json-c yaml-0.1 libpcre2-8 libcrypto sqlite3
CFLAGS   ?= -O2 -g
CPPFLAGS += -I. -D_POSIX_C_SOURCE=200809L -DMUSTER_VERSION='"$(VERSION)"'
CPPFLAGS += $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
STRICT   := -std=c17 -pedantic -Wall -Wextra -Wshadow -Wconversion \
            -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes \
            -Wold-style-definition -Wcast-qual -Wcast-align -Wwrite-strings \
            -Wformat=2 -Wvla -Wundef
ifeq ($(findstring clang,$(CC)),)
STRICT   += -Wduplicated-cond -Wlogical-op
endif
STRICT   += $(if $(WERROR),-Werror,-Werror=implicit-function-declaration)
HARDEN   := -fPIE -fstack-protector-strong -fstack-clash-protection \
            $(if $(SAN),,-D_FORTIFY_SOURCE=2)
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all \
            -fno-omit-frame-pointer)
LDFLAGS  += -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(SANFLAGS)
LDLIBS   += $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null) -pthread

# The order is the layering: each archive may use only those to its right.
LAYERS   := appservice agent registration handoff store matrix base
layer     = $(filter-out %/main.c,$(wildcard $(1)/*.c $(1)/*/*.c))
ARCHIVES := $(LAYERS:%=$(B)/lib%.a)
UNITS    := $(patsubst tests/unit/%.c,$(B)/tests/%,$(wildcard tests/unit/test_*.c))
HELPERS  := $(patsubst tests/unit/%.c,$(B)/tests/unit/%.o,\
            $(filter-out tests/unit/test_%.c,$(wildcard tests/unit/*.c)))

# Each target of libFuzzer, with its corpus, is a unit test as well.
FUZZ     := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
UNITS    += $(FUZZ:%=$(B)/tests/test_fuzz_%)

all: $(B)/muster $(B)/muster-agent

$(B)/muster: $(B)/appservice/main.o $(ARCHIVES)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/muster-agent: $(B)/agent/main.o $(B)/libagent.a $(B)/libhandoff.a \
    $(B)/libmatrix.a $(B)/libbase.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

define archive
$(B)/lib$(1).a: $(patsubst %.c,$(B)/%.o,$(call layer,$(1)))
	@rm -f $$@
	@mkdir -p $$(@D)
	$(AR) rcs $$@ $$^
endef
$(foreach l,$(LAYERS),$(eval $(call archive,$(l))))

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(STRICT) $(HARDEN) $(CFLAGS) $(SANFLAGS) -MMD -MP -c -o $@ $<

# The migrations, in their order, as C strings.
$(B)/store/migrations.inc: $(sort $(wildcard store/migrations/*.sql)) store/embed.sh
	@mkdir -p $(@D)
	sh store/embed.sh store/migrations/*.sql > $@.tmp && mv $@.tmp $@
$(B)/store/migrate.o: $(B)/store/migrations.inc
$(B)/store/migrate.o: CPPFLAGS += -I$(B)

$(B)/tests/test_%: $(B)/tests/unit/test_%.o $(HELPERS) $(ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka $(LDLIBS)

# It stands between the code and these, to see their order.
$(B)/tests/test_write_order: LDFLAGS += $(patsubst %,-Wl$(comma)--wrap=%,\
    openat fchmod fchown write read fsync close renameat unlinkat)
# The same, to make each of them fail.
$(B)/tests/test_handoff_faults: LDFLAGS += $(patsubst %,-Wl$(comma)--wrap=%,\
    open openat mkdirat fstat fstatat fchmod fchown flock write read fsync \
    close renameat unlinkat readdir clock_mono_ms)
$(B)/tests/test_handoff_kill $(B)/tests/test_handoff_race: LDFLAGS += -Wl,--wrap=fsync
$(B)/tests/test_lease: LDFLAGS += -Wl$(comma)--wrap=fsync
$(B)/tests/test_epoch: LDFLAGS += $(patsubst %,-Wl$(comma)--wrap=%,\
    open pwrite write fsync ftruncate rename unlink)
comma := ,

$(B)/tests/test_fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/fuzz.o \
    $(B)/tests/fuzz/replay.o $(ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka $(LDLIBS)

$(B)/fuzz/%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/fuzz.o $(ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

# The load generator, the limits that what is measured is compared with, and
# the plan alone.
MEASURE := $(B)/tests/bench/load $(B)/tests/bench/bare \
           $(B)/tests/bench/replay $(B)/tests/bench/plan
$(B)/tests/bench/load: $(B)/tests/bench/events.o
$(MEASURE): $(B)/tests/bench/%: $(B)/tests/bench/%.o \
    $(B)/tests/bench/common.o $(ARCHIVES)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(sort $(filter %.o,$^)) \
	    $(ARCHIVES) $(LDLIBS)

bench-programs: $(MEASURE)
units: $(UNITS) bench-programs
fuzzers: $(FUZZ:%=$(B)/fuzz/%)

# --- what people call --------------------------------------------------------

help:
	@echo "make            build/muster and build/muster-agent"
	@echo "make demo       a homeserver, nine agents, a human (KEEP=1: stays)"
	@echo "make test       installs, builds and runs everything"
	@echo "make test-openclaw  installs OpenClaw, and tests it under muster-agent alone"
	@echo "make soak       kills it 3,000 times under load (KILLS=3000 SEED=1)"
	@echo "make fuzz       each fuzz target for FUZZ_SECONDS=60 (FUZZ='json yaml': these)"
	@echo "make bench      measures; writes docs/performance.md (BENCH=quick: shorter)"
	@echo "make lint       formatting, warnings, analyzers, layers"
	@echo "make pages      completions and manual pages from the tables they repeat"
	@echo "make install    DESTDIR= prefix=/usr/local: programs, pages, completions, unit"
	@echo "make uninstall  takes the same away again"
	@echo "make clean"

# Compiles while it says that it lives; plain `make` is as silent as it is told.
JOBS    = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))
COMPILE = sh scripts/alive.sh compiling build/compile.log \
          "mend what it says and try again" $(MAKE) --no-print-directory -s $(JOBS)

demo:
	@sh scripts/ensure-packages.sh build test
	@sh scripts/ensure-venv.sh
	@+$(COMPILE) all
	@build/venv/bin/python scripts/demo.py

test:
	@sh scripts/ensure-packages.sh build test
	@sh scripts/ensure-venv.sh
	@{ command -v apt-get >/dev/null && \
	    sh scripts/ensure-packages.sh static-arm64 emulate && \
	    sh scripts/static.sh arm64 muster muster-agent; } || \
	    echo "programs for arm64 cannot be built: their tests are left out"
	@[ '$(OPENCLAW)' = no ] || { sh scripts/ensure-packages.sh openclaw && \
	    sh scripts/ensure-openclaw.sh; } || \
	    echo "OpenClaw cannot be had: its tests are left out"
	@+$(COMPILE) B=build/asan SAN=address,undefined CFLAGS='-O1 -g' all units
	@+$(COMPILE) B=build/tsan SAN=thread CFLAGS='-O1 -g -funsigned-char' \
	    all bench-programs
	@+$(COMPILE) B=build/uchar CFLAGS='-O1 -g -funsigned-char' units
	@$(PYTHON) examples/make-org.py --check
	@build/venv/bin/python tests/run build/asan build/tsan build/uchar

# OpenClaw itself, from npm, alone: `make test` has it beside everything else.
test-openclaw:
	@sh scripts/ensure-packages.sh build test openclaw
	@sh scripts/ensure-venv.sh
	@sh scripts/ensure-openclaw.sh
	@+$(COMPILE) B=build/asan SAN=address,undefined CFLAGS='-O1 -g' all
	@MUSTER_BIN=build/asan/muster MUSTER_AGENT_BIN=build/asan/muster-agent \
	    build/venv/bin/python -m pytest -q -p no:cacheprovider tests/openclaw

KILLS ?= 3000
SEED  ?= 1
soak:
	@sh scripts/ensure-packages.sh build test
	@sh scripts/ensure-venv.sh
	@+$(COMPILE) B=build/asan SAN=address,undefined CFLAGS='-O1 -g' all
	@TEST_KILLS=$(KILLS) TEST_SEED=$(SEED) MUSTER_BIN=build/asan/muster \
	    build/venv/bin/python -m pytest -q -s -p no:cacheprovider \
	    tests/scenario/test_kill.py

# A build by clang, with libFuzzer's instrumentation.
FUZZ_SECONDS ?= 60

fuzz:
	@sh scripts/ensure-packages.sh build fuzz
	@+$(COMPILE) B=build/fuzz CC=clang SAN=fuzzer-no-link,address,undefined \
	    CFLAGS='-O1 -g' FUZZ='$(FUZZ)' fuzzers
	@FUZZ_SECONDS=$(FUZZ_SECONDS) sh scripts/fuzz.sh build/fuzz $(FUZZ)

bench:
	@sh scripts/ensure-packages.sh build test bench
	@sh scripts/ensure-venv.sh
	@+$(COMPILE) B=build/bench CFLAGS=-O2 all bench-programs
	@build/venv/bin/python tests/bench/run

lint:
	@sh scripts/ensure-packages.sh build test lint
	@B=$(B) sh scripts/lint.sh

# What repeats the tables of verbs, options and settings.
pages: all
	$(PYTHON) scripts/pages.py $(B)/muster $(B)/muster-agent

# What is installed, and where to; the unit is made for its place.
INSTALLED = $(BINDIR)/muster $(BINDIR)/muster-agent \
    $(patsubst docs/man/%,$(MANDIR)/man1/%,$(wildcard docs/man/*.1)) \
    $(patsubst docs/man/%,$(MANDIR)/man5/%,$(wildcard docs/man/*.5)) \
    $(BASHDIR)/muster $(BASHDIR)/muster-agent \
    $(ZSHDIR)/_muster $(ZSHDIR)/_muster-agent \
    $(FISHDIR)/muster.fish $(FISHDIR)/muster-agent.fish \
    $(UNITDIR)/muster.service $(USERDIR)/muster.conf

install: all
	install -d $(addprefix $(DESTDIR),$(sort $(dir $(INSTALLED))))
	install -m 0755 $(B)/muster $(B)/muster-agent $(DESTDIR)$(BINDIR)/
	install -m 0644 docs/man/*.1 $(DESTDIR)$(MANDIR)/man1/
	install -m 0644 docs/man/*.5 $(DESTDIR)$(MANDIR)/man5/
	install -m 0644 completions/muster completions/muster-agent \
	    $(DESTDIR)$(BASHDIR)/
	install -m 0644 completions/_* $(DESTDIR)$(ZSHDIR)/
	install -m 0644 completions/*.fish $(DESTDIR)$(FISHDIR)/
	sed -e 's|@BINDIR@|$(BINDIR)|; s|@PREFIX@|$(prefix)|' \
	    deploy/systemd/muster.service.in > $(B)/muster.service
	install -m 0644 $(B)/muster.service $(DESTDIR)$(UNITDIR)/
	install -m 0644 deploy/systemd/muster.sysusers \
	    $(DESTDIR)$(USERDIR)/muster.conf

uninstall:
	$(RM) $(addprefix $(DESTDIR),$(INSTALLED))

clean:
	$(RM) -r $(B)

.PHONY: all bench-programs units fuzzers help demo test test-openclaw soak fuzz bench lint pages install uninstall clean
.SECONDARY:
-include $(shell find $(B) '(' -name node_modules -o -name 'libraries-*' ')' \
    -prune -o -name '*.d' -type f -print 2>/dev/null)
