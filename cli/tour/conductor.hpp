// conductor - runs one row: its stage, its two processes, its deadline, its result.
#pragma once
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include <kith/fd.hpp>
#include <kith/time.hpp>

#include "tour/input.hpp"
#include "tour/row.hpp"

namespace kith_cli::tour {

struct row_result {
    const row* what = nullptr;
    bool ok = false;
    std::string why;  ///< not ok: what went wrong
    std::uint64_t bytes = 0;
    std::uint64_t messages = 0;  ///< messages, or reads of a byte stream, or increments
    std::uint64_t lost = 0;      ///< messages that had to be sent again
    double seconds = 0;
    std::string sha256;  ///< of what arrived
};

struct run_options {
    std::chrono::nanoseconds deadline;  ///< for each row
    std::uint64_t increments;           ///< of the counter rows, both processes together
    std::string name;                   ///< "kith-tour-PID-RANDOM": prefix of every name that is made
    std::string directory;              ///< private to this run
    std::stop_token stop;
    std::function<void(const row& what, std::uint64_t bytes)> progress;
};

/// Runs a row. A failure of the row is a result with ok = false; the error is only `stopped`.
[[nodiscard]] outcome<row_result> run_row(const row& what, const input& in, const run_options& options);

inline constexpr std::string_view run_prefix = "kith-tour-";

/// A directory of mode 0700 under $TMPDIR or /tmp, removed with what is in it. It is locked while it lives: see
/// remains.
class private_directory {
public:
    /// Where it is made.
    [[nodiscard]] static std::string base();
    [[nodiscard]] static outcome<private_directory> make(const std::string& name);
    private_directory(private_directory&& other) noexcept;
    private_directory& operator=(private_directory&&) = delete;
    ~private_directory();
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    private_directory(std::string path, kith::owned_fd lock) : path_{std::move(path)}, lock_{std::move(lock)} {}
    std::string path_;
    kith::owned_fd lock_;
};

}  // namespace kith_cli::tour
