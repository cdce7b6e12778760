/* SPDX-License-Identifier: MIT */
/*
 * verb.h - what a program does before a verb and around it: ublk-nbd, and those it becomes for one.
 */
#ifndef GATEWAY_CLI_VERB_H
#define GATEWAY_CLI_VERB_H

/* First of all: a standard descriptor that is closed becomes /dev/null, so that no file of ours gets its
 * number (what is written to it still fails), and SIGPIPE is ignored. 0; -1: that failed. */
int verb_prepare(void);

/* Runs a verb (commands.h), keeps back what standard error may not take at once (output_hold()), and writes
 * that in the end. Returns the verb's exit code. */
int verb_run(int (*run)(int argc, char **argv), int argc, char **argv);

#endif
