// kith/platform.hpp - what kith runs on, refused at compile time elsewhere, and the symbol visibility macro.
#pragma once

#if !defined(__linux__)
#error "kith supports Linux 5.10 or newer, 64-bit little-endian (x86-64 and aarch64), and nothing else."
#endif
#if !defined(__LP64__) || !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "kith supports Linux 5.10 or newer, 64-bit little-endian (x86-64 and aarch64), and nothing else."
#endif
#if !defined(__x86_64__) && !defined(__aarch64__)
#error "kith supports Linux 5.10 or newer, 64-bit little-endian (x86-64 and aarch64), and nothing else."
#endif
#if __cplusplus < 202100L
#error "kith needs C++23: compile with -std=c++23 or -std=gnu++23."
#endif

/// Marks what the shared library exports; everything else is hidden. The list of exported symbols is
/// compared with tests/consume/symbols.txt by a test.
#define KITH_EXPORT __attribute__((visibility("default")))
