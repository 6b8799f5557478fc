// row - one mechanism of the tour: what is said about it, what it needs, and what its two processes do.
//
// The conductor (conductor.hpp) makes the stage: the objects that must exist before anybody starts, under names that
// nobody else has, and that go when it is destroyed, whatever happened. It then starts the receiver, and, when that one
// is ready, the sender: two programs of their own, started by exec with nothing but the stage's address (and, between
// kin, the end that they inherit). Neither has a deadline of its own: the conductor kills both when theirs is over.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <kith/fd.hpp>

#include "failure.hpp"

namespace kith_cli::tour {

class peer;
struct remains;

/// What a row needs before its processes start. The destructor removes it.
class stage {
public:
    virtual ~stage() = default;
    /// What both processes are told: names, ids. Without blanks.
    [[nodiscard]] virtual std::string where() const { return "-"; }
    /// Between kin: the end that the process inherits; afterwards only it has that end.
    [[nodiscard]] virtual kith::owned_fd end_for_receiver() { return {}; }
    [[nodiscard]] virtual kith::owned_fd end_for_sender() { return {}; }
    /// Counter rows: what the counter shows after both have ended.
    [[nodiscard]] virtual std::optional<std::uint64_t> count() { return std::nullopt; }
};

/// What a stage may be made of.
struct stage_options {
    std::string name;       ///< unique for this run and row: "kith-tour-4711-1f3a-fifo"
    std::string directory;  ///< private, empty, and removed by the conductor
};

enum class relation : std::uint8_t { kin, strangers };

struct row {
    std::string_view name;
    std::string_view purpose;
    relation between;
    std::string_view data;      ///< "bytes", "messages", "memory" or "count"
    std::string_view outlives;  ///< the processes: "no", "name" (but not its content) or "yes"
    outcome<std::unique_ptr<stage>> (*set_up)(const stage_options& options);
    outcome<void> (*receive)(peer& self);
    outcome<void> (*send)(peer& self);
    bool counts = false;  ///< a semaphore row: nothing is transferred, two processes count
    /// Removes what the row of a killed run left; none where everything is in the directory, or without a name.
    void (*clear)(const remains& of) = nullptr;
};

/// Every row, in the order of the table.
[[nodiscard]] std::span<const row> all_rows();
[[nodiscard]] const row* find_row(std::string_view name);

// One function per family, cli/tour/rows/<family>.cpp.
[[nodiscard]] std::span<const row> pipe_rows();
[[nodiscard]] std::span<const row> queue_rows();
[[nodiscard]] std::span<const row> counter_rows();
[[nodiscard]] std::span<const row> memory_rows();
[[nodiscard]] std::span<const row> unix_rows();
[[nodiscard]] std::span<const row> inet_rows();

}  // namespace kith_cli::tour
