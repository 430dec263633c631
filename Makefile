# make          builds build/release/hkrun (CONFIG=debug|asan for others)
# make demo     rehearses recipes/heroku_to_aws.lua on the sample app; DATA=dms: with AWS DMS, both its ways
# make check    builds and passes all tests
# make crash    kills the migration before and after each of its effects, and applies it again
# make kill-pg  kills copies of PostgreSQL at random moments, and goes on with them
# make kill-redis kills copies of Redis at random moments, and goes on with them
# make bench-pg measures pg.copy against pgcopydb and pg_dump, pg.same against a script
# make deps     installs what the build and the tests need (Debian)
# make bench-redis measures redis.copy against a script on ioredis, RedisShake and a bare relay
# make dist     makes a tarball that runs on any Linux
# make deb      makes a Debian package
# make docs     rewrites docs/modules.md from the annotations of the public modules
# make actions  rewrites what hkrun knows of IAM's actions from the reference that tools/iam names
# make models   rewrites what hkrun knows of the AWS services from the botocore that tools/judges.txt names
.DEFAULT_GOAL := all
CONFIG ?= release
BUILD  := build/$(CONFIG)
PREFIX ?= /usr/local
HKRUN  := $(BUILD)/hkrun

PKGS := lua5.4 libuv libcurl openssl libpq libssh yaml-0.1 expat jansson libarchive libedit libmicrohttpd zlib
WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Werror
HARD := -fstack-protector-strong -fPIE
CFLAGS.release := -O2 -g -D_FORTIFY_SOURCE=2
CFLAGS.debug   := -O0 -g3
CFLAGS.asan    := -O1 -g3 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LDFLAGS.asan   := -fsanitize=address,undefined

CFLAGS  = -std=c11 -D_GNU_SOURCE -pthread $(WARN) $(HARD) $(CFLAGS.$(CONFIG)) $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LDFLAGS = -pie -pthread -Wl,-z,relro,-z,now -Wl,--as-needed -Wl,--export-dynamic-symbol=connect $(LDFLAGS.$(CONFIG))
LDLIBS  = $(shell pkg-config --libs $(filter-out $(LAZY) libcurl,$(PKGS)) 2>/dev/null) -lm

SOURCES := $(wildcard host/*.c)
OBJECTS := $(SOURCES:host/%.c=$(BUILD)/%.o) $(BUILD)/embed.o
# Loaded when they are first needed (host/lazy.c): linked, they would be most of the start-up.
LAZY     := libpq libssh libarchive libmicrohttpd openssl yaml-0.1 expat jansson libedit zlib
# The archive, because libcurl.so needs twenty libraries of protocols that we do not speak (tools/lazy.sh).
CURL     := $(shell $(CC) -print-file-name=libcurl.a)
EMBEDDED := $(shell find lua -type f \( -name '*.lua' -o -name '*.txt' -o -name '*.pem' \) 2>/dev/null)
# Modules are embedded compiled, which is what a start reads; their text, and what hkrun knows of the AWS services, compressed.
MODULES  := $(filter-out lua/stdlib/template/%,$(filter %.lua,$(EMBEDDED)))
COMPILED := $(MODULES:lua/%=build/compiled/%c)
PACKED   := $(patsubst lua/%,build/packed/%.gz,$(MODULES) $(filter lua/stdlib/aws/models/% lua/stdlib/aws/endpoints/%,$(EMBEDDED)))

.PHONY: all deps demo tools postgres redis check crash flat-pg kill-pg kill-redis test judge-all bench bench-pg bench-redis models actions docs install dist deb judge-packages judge-session-manager clean
all: $(HKRUN)

$(HKRUN): $(OBJECTS) $(BUILD)/stubs.o $(CURL)
	@echo "  LD $@"; $(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
	@[ $(CONFIG) != release ] || ln -sfn $(HKRUN) hkrun

$(BUILD)/%.o: host/%.c host/host.h | $(BUILD)
	@echo "  CC $<"; $(CC) $(CFLAGS) -MMD -c -o $@ $<

$(BUILD)/embed.S: $(EMBEDDED) $(COMPILED) $(PACKED) tools/embed.sh | $(BUILD)
	@tools/embed.sh build/packed $(EMBEDDED) $(COMPILED) > $@

build/packed/%.gz: lua/%
	@mkdir -p $(@D) && gzip -9nc $< > $@

build/compiled/%.luac: lua/%.lua # in lua/, so that errors name stdlib/task.lua
	@mkdir -p $(@D) && cd lua && luac5.4 -o ../$@ $(<:lua/%=%)

$(BUILD)/embed.o: $(BUILD)/embed.S
	@$(CC) -c -o $@ $<

$(BUILD)/stubs.o: $(OBJECTS) tools/lazy.sh
	@tools/lazy.sh $(OBJECTS) $(CURL) > $(BUILD)/stubs.S && $(CC) -c -o $@ $(BUILD)/stubs.S

$(BUILD):
	@mkdir -p $@

-include $(wildcard $(BUILD)/*.d)

deps:
	@tools/deps.sh

demo:
	@tools/deps.sh demo
	@$(MAKE) -s -j4 all
ifeq ($(DATA),dms)
	./hkrun rehearse recipes/heroku_to_aws.lua --data dms
	./hkrun rehearse recipes/heroku_to_aws.lua --data dms --dms-strategy full-load-and-cdc --heroku-may-replicate
else
	./hkrun rehearse recipes/heroku_to_aws.lua --report build/demo.html
endif

# The judges that we did not write: moto, boto3, the AWS CLI; the EB CLI; the Heroku CLI; Terraform's formatter and parser;
# the reference of IAM's actions; actionlint; axe, for pages; the Node.js of those that need one (pinned, 1 GB).
tools: build/tools/installed build/tools-eb/installed build/tools-heroku/installed build/tools-hcl/installed \
  build/tools-iam/installed build/tools-actionlint/installed build/tools-page/installed build/tools-node/installed build/heroku-schema.json
build/tools/installed: tools/judges.txt
	@rm -rf build/tools && python3 -m venv build/tools
	@build/tools/bin/pip install -q --disable-pip-version-check -r $<
	@touch $@
build/tools-eb/installed: tools/judges-eb.txt
	@rm -rf build/tools-eb && python3 -m venv build/tools-eb
	@build/tools-eb/bin/pip install -q --disable-pip-version-check -r $<
	@touch $@
build/heroku-schema.json: tools/heroku-schema.sh build/tools/installed
	@tools/heroku-schema.sh >/dev/null
	@touch $@
build/tools-%/installed: tools/%/package-lock.json
	@rm -rf build/tools-$* && mkdir -p build && cp -R tools/$* build/tools-$*
	@cd build/tools-$* && npm ci --loglevel=error --no-audit --no-fund --ignore-scripts
	@touch $@

# PostgreSQL servers of other majors than Debian's, for tests (pinned, 45 MB). Tests fetch what is missing themselves.
postgres: build/postgres/fetched
build/postgres/fetched: tools/postgres.txt tools/postgres-versions.sh
	@tools/postgres-versions.sh 14 16 17 18 >/dev/null
	@touch $@

# The same for Redis 6.2 and Valkey 9 (8 MB).
redis: build/redis/fetched
build/redis/fetched: tools/redis.txt tools/redis-versions.sh
	@for name in redis-6.2 valkey-9; do tools/redis-versions.sh $$name >/dev/null || exit 1; done
	@touch $@

check: deps
	@$(MAKE) -s -j4 all tools postgres redis build/effects.so
	@$(MAKE) -s -j4 CONFIG=asan build/asan/hkrun
	@tools/check.sh

# Stops hkrun at an effect of its own, for the tests of crashes.
build/effects.so: tests/crash/effects.c
	@mkdir -p $(@D) && $(CC) -std=c11 -O2 -Wall -Wextra -Werror -shared -fPIC -pthread -o $@ $< $(shell pkg-config --cflags libpq openssl) -ldl

# Kills the migration at each of its effects, and breaks each of its calls, one at a time; goes on where it was ended.
# An hour on two cores. See tests/crash/all.lua for doing it in parts.
crash: deps
	@$(MAKE) -s all build/effects.so
	@./hkrun - < tests/crash/all.lua

test: all
	./hkrun test tests/unit tests/host

# Both data sets of bench-pg, at full size, by pg.same, pg_dump -s and pgcopydb 0.18, which is built for it: five minutes.
judge-pg: all
	@pgcopydb=$$(tools/pgcopydb.sh) && PGCOPYDB=$$pgcopydb SCALE=$(or $(SCALE),1) ./hkrun test --timeout=3000 tests/host/pgcopy_judges_test.lua

judge-all: all tools # boto3 and hkrun make every call of every service: half an hour
	@JUDGE=all ./hkrun test tests/conformance/boto3_test.lua

bench: deps all tools
	@tests/bench/run.sh

# pg.copy against pgcopydb 0.18 and pg_dump; SCALE=0.02 ROUNDS=1 for a first look.
bench-pg: all
	@mkdir -p build/bench
	@$(CC) -std=gnu11 -O2 -Wall -Wextra -Werror -o build/bench/pg_relay tests/bench/pg_relay.c
	@$(CC) -std=gnu11 -O2 -Wall -Wextra -Werror -pthread -o build/bench/pg_link tests/bench/pg_link.c
	@PGCOPYDB=$$(tools/pgcopydb.sh) python3 -B tests/bench/pg.py $(CURDIR)/$(HKRUN) $(CURDIR)/build/bench/pg_relay $(CURDIR)/build/bench/pg_link $(or $(SCALE),1) $(or $(ROUNDS),5)
	@python3 -B tests/bench/pg_same.py $(CURDIR)/$(HKRUN) $(or $(SCALE),1) $(or $(ROUNDS),5)

# redis.copy against ioredis, RedisShake where it is installed, and a bare relay; SCALE=0.02 ROUNDS=1 for a first look.
bench-redis: all
	@mkdir -p build/bench
	@$(CC) -std=gnu11 -O2 -Wall -Wextra -Werror -o build/bench/redis_link tests/bench/redis_link.c
	@python3 -B tests/bench/redis.py $(CURDIR)/$(HKRUN) $(CURDIR)/build/bench/redis_link $(or $(SCALE),1) $(or $(ROUNDS),5)

# Memory and descriptors of a copy of 5 GB.
flat-pg: all
	@python3 -B tests/bench/pg_flat.py $(CURDIR)/$(HKRUN) $(or $(GIGABYTES),5)

# Kills, cuts and starves copies of PostgreSQL at random moments, and wants each whole: two hours, in a network of its own
# where the user may have one.
NETWORK := unshare $(if $(filter 0,$(shell id -u)),,--map-current-user --keep-caps) --net
kill-pg: all
	@if $(NETWORK) true 2>/dev/null; then OWN_NETWORK=1 $(NETWORK) sh -c 'ip link set lo up; exec ./hkrun -' < tests/crash/pg.lua; \
	else ./hkrun - < tests/crash/pg.lua; fi

# Kills, cuts and starves a copy of Redis at random moments, and wants it whole after each: about half an hour.
kill-redis: all
	@./hkrun - < tests/crash/redis.lua

install: all
	install -D -m 755 $(HKRUN) $(DESTDIR)$(PREFIX)/bin/hkrun
	install -d $(DESTDIR)$(PREFIX)/share/hkrun
	cp -R recipes examples $(DESTDIR)$(PREFIX)/share/hkrun/
	install -D -m 644 docs/hkrun.1 $(DESTDIR)$(PREFIX)/share/man/man1/hkrun.1
	rm -rf $(DESTDIR)$(PREFIX)/share/hkrun/examples/*/node_modules

# build/hkrun-VERSION-linux-MACHINE.tar.gz: runs on any Linux of this machine's kind, whatever is installed there.
dist: all
	@root=$$(tools/dist.sh $(HKRUN) build/dist) && cd build/dist && name=$${root##*/} && \
	  tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf - $$name | gzip -9n > ../$$name.tar.gz && rm -rf $$name && \
	  echo build/$$name.tar.gz

# build/hkrun_VERSION_ARCH.deb
deb: all
	@tools/deb.sh $(HKRUN) build

# Both on systems that are made for it, as root: five minutes.
judge-packages: dist deb
	@tools/judge-packages.sh build/hkrun-*-linux-*.tar.gz build/hkrun_*.deb

# Session Manager with AWS's own plugin, which is built from its source: needs Go.
judge-session-manager: all
	@tools/session-manager.sh
	@$(HKRUN) test tests/judge

clean:
	rm -rf build hkrun

# What hkrun knows of the AWS services: all that the botocore of tools/judges.txt has.
VERSION  := $(shell sed -n 's/^botocore==//p' tools/judges.txt)
BOTOCORE := build/botocore-$(VERSION)

models: all $(BOTOCORE)
	BOTOCORE=$(BOTOCORE)/botocore OUT=lua/stdlib/aws/models ./hkrun - < tools/models.lua
	BOTOCORE=$(BOTOCORE)/botocore OUT=lua/stdlib/aws/endpoints ./hkrun - < tools/endpoints.lua

$(BOTOCORE):
	@python3 -m venv build/pip
	@build/pip/bin/pip download -q --disable-pip-version-check --no-deps -d $@.wheel botocore==$(VERSION)
	@python3 -m zipfile -e $@.wheel/*.whl $@

actions: all build/tools-iam/installed
	AWS_REGION=us-east-1 ./hkrun - < tools/actions.lua > build/actions.lua && mv build/actions.lua lua/stdlib/policy/actions.lua

docs: all
	./hkrun - < tools/modules.lua > build/modules.md && mv build/modules.md docs/modules.md
