# SPDX-License-Identifier: MIT
#
#   make          build the programs into $(BUILD)/bin and $(BUILD)/libexec
#   make run      install what is missing, build, and do the main job (URI=nbd://... for your server)
#   make test     install what is missing, then every test; ends with "N passed, N failed, N skipped"
#   make check    the quick part: unit tests, lint, a short fuzz of each parser
#   make help     the other targets

CC      ?= gcc
ifeq ($(origin CC),default)
CC      := gcc
endif
PREFIX  ?= /usr/local
DESTDIR ?=
# SAN=address,undefined builds everything with these sanitizers, in a tree of its own.
SAN     ?=
BUILD   ?= build$(if $(SAN),-$(subst $(comma),-,$(SAN)))
comma   := ,
ifeq ($(strip $(BUILD)),)
$(error BUILD is empty: it names the folder that everything is built in)
endif

BINDIR     := $(PREFIX)/bin
LIBEXECDIR := $(PREFIX)/libexec/ublk-nbd
MANDIR     := $(PREFIX)/share/man
UDEVDIR    ?= $(if $(filter /usr,$(PREFIX)),/usr/lib/udev/rules.d,/etc/udev/rules.d)

VERSION := 0.2.0

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef -Werror
CFLAGS   ?= -O2 -g
ALL_CFLAGS := -std=gnu11 $(WARNINGS) $(CFLAGS) -fno-strict-aliasing -fno-omit-frame-pointer \
	$(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=undefined, \
	-D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE) \
	-D_GNU_SOURCE -DVERSION='"$(VERSION)"' -DLIBEXECDIR='"$(LIBEXECDIR)"' -I. $(CPPFLAGS)
ALL_LDFLAGS := $(if $(SAN),-fsanitize=$(SAN),-Wl$(comma)-z$(comma)relro$(comma)-z$(comma)now) $(LDFLAGS)
PIE := $(if $(SAN),,-pie)

# Which libraries each part may use; nothing else may be linked.
LIBS_disk := -luring -ljansson -lpthread
LIBS_cli  := -luriparser -ljansson -linih -luring -lpthread
LIBS_map  := -lnbd -luriparser -ljansson -lpthread
LIBS_tls  := -lssl -lcrypto -lpthread
LIBS_test := -lnbd $(LIBS_cli) $(LIBS_tls)

PROTO_SRCS  := $(wildcard proto/*.c)
TLS_SRCS    := $(wildcard tls/*.c)
# What of it needs no OpenSSL, and is in each program.
PLAIN_SRCS  := tls/address.c tls/protect.c tls/tls.c tls/transport_plain.c
COMMON_SRCS := $(wildcard gateway/common/*.c)
CLI_SRCS    := $(wildcard gateway/cli/*.c)
MAP_SRCS    := $(wildcard gateway/map/*.c)
DISK_SRCS   := $(wildcard gateway/disk/*.c gateway/block/*.c gateway/ublk/*.c gateway/nbd/*.c)
# uri.c needs uriparser, so it is the command line's alone.
DISK_PROTO_SRCS := $(filter-out proto/uri.c,$(PROTO_SRCS))

objs = $(patsubst %.c,$(BUILD)/%.o,$(1))

PROGRAMS := $(BUILD)/bin/ublk-nbd $(BUILD)/libexec/ublk-nbd-disk $(BUILD)/libexec/ublk-nbd-map $(BUILD)/libexec/ublk-nbd-tls.so

all: $(PROGRAMS)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/bin/ublk-nbd: $(call objs,$(CLI_SRCS) $(COMMON_SRCS) $(PROTO_SRCS) $(PLAIN_SRCS))
	@mkdir -p $(@D)
	$(CC) $(PIE) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_cli)

$(BUILD)/libexec/ublk-nbd-disk: $(call objs,$(filter-out gateway/block/null_backend.c,$(DISK_SRCS)) \
		$(COMMON_SRCS) $(DISK_PROTO_SRCS) $(PLAIN_SRCS))
	@mkdir -p $(@D)
	$(CC) $(PIE) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_disk)

# What a verb that is a program of its own takes of the command line: of an archive, only that is linked.
$(BUILD)/gateway/verb.a: $(call objs,$(filter-out gateway/cli/main.c,$(CLI_SRCS)) $(COMMON_SRCS) $(PROTO_SRCS) $(PLAIN_SRCS))
	@mkdir -p $(@D)
	@rm -f $@
	ar qcs $@ $^

$(BUILD)/libexec/ublk-nbd-map: $(call objs,$(MAP_SRCS)) $(BUILD)/gateway/verb.a
	@mkdir -p $(@D)
	$(CC) $(PIE) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_map)

# Loaded by whoever speaks TLS (gateway/common/tls_library.c); it shows one symbol.
$(BUILD)/tls/%.o: ALL_CFLAGS += -fPIC -fvisibility=hidden

$(BUILD)/libexec/ublk-nbd-tls.so: $(call objs,$(TLS_SRCS))
	@mkdir -p $(@D)
	$(CC) -shared $(ALL_LDFLAGS) -o $@ $^ $(LIBS_tls)

# --- unit tests: one program per tests/unit/test_*.c, linked with all but the main()s ---------
UNIT_SRCS := $(wildcard tests/unit/test_*.c)
UNIT_BINS := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(UNIT_SRCS))
TESTED_OBJS := $(call objs,$(PROTO_SRCS) $(TLS_SRCS) tests/tls_library.c \
	$(filter-out gateway/common/tls_library.c,$(COMMON_SRCS)) \
	$(filter-out %/main.c,$(CLI_SRCS) $(MAP_SRCS) $(DISK_SRCS)))

$(BUILD)/tests/tested.a: $(TESTED_OBJS)
	@mkdir -p $(@D)
	@rm -f $@
	ar qcs $@ $^

$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(BUILD)/tests/tested.a
	$(CC) $(PIE) $(ALL_LDFLAGS) -o $@ $^ -lcmocka $(LIBS_test)

# --- test programs that run inside the guest: one per tests/guest/*.c ------------------------------
GUEST_SRCS := $(wildcard tests/guest/*.c)
GUEST_BINS := $(patsubst tests/guest/%.c,$(BUILD)/tests/guest/%,$(GUEST_SRCS))

$(BUILD)/tests/guest/%: $(BUILD)/tests/guest/%.o $(BUILD)/tests/tested.a
	@mkdir -p $(@D)
	$(CC) $(PIE) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_test)

# Those that test a ublk driver by itself share tests/guest/ublk/.
UBLK_TEST_OBJS := $(call objs,$(wildcard tests/guest/ublk/*.c))

UBLK_TEST_BINS := $(filter $(BUILD)/tests/guest/ublk_%,$(GUEST_BINS))

# A static rule: of two pattern rules make takes the one whose objects are there already.
$(UBLK_TEST_BINS): $(BUILD)/tests/guest/%: $(BUILD)/tests/guest/%.o $(UBLK_TEST_OBJS)
	@mkdir -p $(@D)
	$(CC) $(PIE) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_test)

# The TLS server of the tests is made of tests/guest/tls/.
TLS_TEST_OBJS := $(call objs,$(wildcard tests/guest/tls/*.c))

$(BUILD)/tests/guest/tls_%: $(BUILD)/tests/guest/tls_%.o $(TLS_TEST_OBJS)
	@mkdir -p $(@D)
	$(CC) $(PIE) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_test)

# Libraries that guest tests preload, to make a program meet failures.
PRELOAD_BINS := $(patsubst tests/guest/preload/%.c,$(BUILD)/tests/guest/%.so,$(wildcard tests/guest/preload/*.c))

$(BUILD)/tests/guest/%.so: tests/guest/preload/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) -O2 -g -D_GNU_SOURCE -I. -shared -fPIC -o $@ $<

guest-programs: $(PROGRAMS) $(GUEST_BINS) $(PRELOAD_BINS)

# --- the model test of the server's side: of the tree, only what that is made of -------------------
MODEL_SRCS := $(wildcard tests/model/*.c gateway/block/*.c gateway/nbd/*.c) gateway/common/tcp.c \
	$(DISK_PROTO_SRCS) $(TLS_SRCS)

$(BUILD)/tests/model/model: $(call objs,$(MODEL_SRCS))
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ -luring -lssl -lcrypto -lpthread

model: $(BUILD)/tests/model/model

# --- fuzz targets: one per tests/fuzz/fuzz_*.c, with a seed corpus beside it -----------------------
FUZZ_SRCS := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_BINS := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%,$(FUZZ_SRCS))
FUZZ_SECONDS ?= 60

FUZZ_CC := clang -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
	-D_GNU_SOURCE -DVERSION='"$(VERSION)"' -I.

$(BUILD)/tests/fuzz/%: tests/fuzz/%.c tests/fuzz/must.h $(PROTO_SRCS) $(wildcard proto/*.h)
	@mkdir -p $(@D)
	$(FUZZ_CC) -o $@ $< $(PROTO_SRCS) -luriparser

$(BUILD)/tests/fuzz/fuzz_tls: tests/fuzz/fuzz_tls.c tests/fuzz/must.h tests/unit/tls_peer.h $(TLS_SRCS) $(wildcard tls/*.h)
	@mkdir -p $(@D)
	$(FUZZ_CC) -o $@ $< $(TLS_SRCS) -lssl -lcrypto -lpthread

fuzz-targets: $(FUZZ_BINS)

fuzz: $(FUZZ_BINS)
	tests/fuzz/run-all $(FUZZ_SECONDS) $(FUZZ_BINS)

# --- tests ------------------------------------------------------------------------------------------
deps:
	tests/deps.sh

unit-programs: $(UNIT_BINS)

unit: $(UNIT_BINS)
	tests/unit/run-all $(UNIT_BINS)

check:
	tests/check $(BUILD)

test: deps
	tests/all test

test-long: deps
	tests/all long

# Our ublk driver under the kernel's own checkers; builds that kernel first, for some minutes.
test-kasan: deps
	$(MAKE) guest-programs
	tests/checkpatch
	tests/run-system --jobs 1 --suite debug

# Both, even if the first misses its bar.
bench: deps
	$(MAKE) guest-programs
	tests/bench/run; code=$$?; tests/bench/driver && exit $$code

bench-driver: deps
	$(MAKE) guest-programs
	tests/bench/driver

run: deps
	$(MAKE) guest-programs
	tests/run-job '$(URI)'

shell: deps
	$(MAKE) guest-programs
	tests/vm/shell

tidy:
	BUILD=$(BUILD) tests/tidy

# --- our own ublk driver, for kernels that have none ------------------------------------------------
KVER ?= $(shell uname -r)
KDIR ?= /lib/modules/$(KVER)/build
MODULE_FOLDER = $(abspath $(BUILD))/kernel/$(KVER)
MODULE_FLAGS ?=

# Built from a copy, so that each kernel has a tree of its own.
modules:
	mkdir -p $(MODULE_FOLDER)
	cp kernel/Kbuild kernel/*.[ch] $(MODULE_FOLDER)/
	$(MAKE) -C $(KDIR) M=$(MODULE_FOLDER) $(MODULE_FLAGS) modules

modules_install: modules
	$(MAKE) -C $(KDIR) M=$(MODULE_FOLDER) $(MODULE_FLAGS) modules_install

install: $(PROGRAMS)
	install -D -m 755 $(BUILD)/bin/ublk-nbd $(DESTDIR)$(BINDIR)/ublk-nbd
	install -D -m 755 $(BUILD)/libexec/ublk-nbd-disk $(DESTDIR)$(LIBEXECDIR)/ublk-nbd-disk
	install -D -m 755 $(BUILD)/libexec/ublk-nbd-map $(DESTDIR)$(LIBEXECDIR)/ublk-nbd-map
	install -D -m 755 $(BUILD)/libexec/ublk-nbd-tls.so $(DESTDIR)$(LIBEXECDIR)/ublk-nbd-tls.so
	install -D -m 644 gateway/54-ublk-nbd.rules $(DESTDIR)$(UDEVDIR)/54-ublk-nbd.rules
	set -e; for page in gateway/man/*.[15]; do \
		install -D -m 644 $$page $(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}; done

clean:
	rm -rf build build-*

help:
	@printf '%s\n' \
	'all              build (default)' \
	'run [URI=...]    set up everything and do the main job, in a VM where the kernel has no ublk' \
	'shell            a shell in that VM' \
	'test             set up everything and run every test' \
	'test-long        the long repetitions and sanitizer passes' \
	'test-kasan       our ublk driver on a kernel with KASAN and lockdep, which is built for it' \
	'check            unit tests, lint, short fuzz and model test: under 4 minutes' \
	'bench            guest instructions per I/O, beside the rivals' \
	'bench-driver     our ublk driver beside the kernel'"'"'s own' \
	'tidy             clang-format, clang-tidy, dependency direction, lengths, file headers' \
	'unit, fuzz       parts of check; FUZZ_SECONDS=600 for a long fuzz' \
	'model            the model test of the server'"'"'s side, with SAN=...: tests/README.md' \
	'install          DESTDIR= PREFIX=/usr/local' \
	'modules          our own ublk driver: KVER=<release> KDIR=<its headers>; modules_install' \
	'SAN=address,undefined   with any of these: a sanitizer build, in a tree of its own'

-include $(shell find $(addprefix $(BUILD)/,gateway proto tls tests) -type f -name '*.d' 2>/dev/null)

.PHONY: all model guest-programs unit-programs fuzz-targets deps unit fuzz check test test-long test-kasan \
	bench bench-driver run shell tidy modules modules_install install clean help
.SECONDARY:
