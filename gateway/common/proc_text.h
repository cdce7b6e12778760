/* SPDX-License-Identifier: MIT */
/*
 * proc_text.h - how /proc writes a path between blanks.
 */
#ifndef GATEWAY_COMMON_PROC_TEXT_H
#define GATEWAY_COMMON_PROC_TEXT_H

/* proc(5), mountinfo and swaps: blank, tab, newline and backslash are written as a backslash and three octal
 * digits. In place. */
void proc_unescape(char *text);

#endif
