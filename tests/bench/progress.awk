# SPDX-License-Identifier: MIT
#
# What the guest says, as it says it, for a person who waits.
/^cell / { printf "%s %s %s: %.1f k\n", $2, $3, $4, $6 / 1000; fflush(); next }
{ print; fflush() }
