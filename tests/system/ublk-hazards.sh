# SPDX-License-Identifier: MIT
# goal: a ublk driver withstands each hazard that is known: wrong commands, wrong answers, deaths of the
#       daemon in each state, stops and deletions in the middle of it
# method: a daemon driven by hand, one case each (tests/guest/ublk_hazards.c); kernel/README.md has the
#       table of hazards and cases. HAZARDS in the environment: only these; HAZARDS_STOP: none after one
#       that fails. (tests/stock-hazards runs them on the kernels' own drivers)
# kernels: 6.1-own
# long-kernels: 6.12-own 7.3-own
# cpus: 4
# memory-mb: 1024
# timeout-s: 600
# modules: ublk_drv
# load: 85
# suite: test
# allow-dmesg: I/O error|unable to read partition table

# shellcheck disable=SC1091
. /lab/data.sh
. /lab/ublk.sh
. /lab/hazards.sh

all_hazards
