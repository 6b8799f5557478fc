// exit - the exit statuses of the command. Scripts rely on them: kith(1), EXIT STATUS.
#pragma once
#include <kith/error.hpp>

namespace kith_cli {

inline constexpr int exit_done = 0;
inline constexpr int exit_failed = 1;
inline constexpr int exit_misused = 2;
inline constexpr int exit_nothing_now = 3;  ///< --no-wait: nothing there, or no room
inline constexpr int exit_ended = 4;        ///< end of stream, object removed, peer gone
inline constexpr int exit_timed_out = 124;
inline constexpr int exit_not_executable = 126;
inline constexpr int exit_not_found = 127;
inline constexpr int exit_signal_base = 128;  ///< 128 + N: ended by signal N

/// The status that a failure ends the command with.
[[nodiscard]] int exit_status_of(kith::errc code) noexcept;

}  // namespace kith_cli
