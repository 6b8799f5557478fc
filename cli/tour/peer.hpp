// peer - one of the two processes of a row: its part of the input, its digest, and its reports to the conductor.
//
// Reports are lines on descriptor 4: "ready ADDRESS", "progress BYTES", "done ..." or "failed WHY".
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <kith/bytes.hpp>
#include <kith/fd.hpp>
#include <kith/sys/mapping.hpp>

#include "failure.hpp"
#include "tour/digest.hpp"

namespace kith_cli::tour {

/// The descriptors that the conductor gives a peer, beside 0, 1 and 2.
inline constexpr int input_number = 3;   ///< sender: the block of the input
inline constexpr int report_number = 4;  ///< where it reports
inline constexpr int end_number = 5;     ///< kin: the inherited end

class peer {
public:
    struct options {
        std::string where;
        std::uint64_t repeats = 1;
        std::uint64_t increments = 0;
    };
    explicit peer(options given) : given_{std::move(given)} {}

    /// Receiver: what the stage said. Sender: what the receiver said when it was ready.
    [[nodiscard]] const std::string& where() const { return given_.where; }
    /// Kin: the inherited end.
    [[nodiscard]] static kith::owned_fd end();
    /// Counter rows: how often to count.
    [[nodiscard]] std::uint64_t increments() const { return given_.increments; }

    /// Receiver: the sender may start, and finds us at `address` (without blanks).
    void ready(const std::string& address);

    /// Sender: maps the input. Call it before next().
    [[nodiscard]] outcome<void> open_input();
    /// Sender: the next piece of the input, at most `most` bytes; empty at its end. Starts the clock.
    [[nodiscard]] kith::byte_view next(std::size_t most);

    /// Receiver: a message or piece that came in, in order.
    void take(kith::byte_view piece);
    /// Receiver: the digest of what was taken; ends the taking.
    [[nodiscard]] const std::string& digest();

    void start_clock();
    void count_messages(std::uint64_t more) { messages_ += more; }
    void count_lost(std::uint64_t more) { lost_ += more; }

    /// Tells the conductor how it ended.
    void report_done();
    void report_failure(const failure& why);

private:
    void report(const std::string& line);

    options given_;
    kith::sys::mapping block_;
    std::uint64_t block_number_ = 0;
    std::size_t offset_ = 0;
    sha256 sum_;
    std::string digest_;
    std::uint64_t bytes_ = 0;
    std::uint64_t messages_ = 0;
    std::uint64_t lost_ = 0;
    std::uint64_t told_ = 0;
    std::int64_t started_ns_ = 0;
};

/// The word that makes `kith` one of these processes: `kith __tour-peer ROW receiver|sender WHERE REPEATS INCREMENTS
/// PARENT`. Not for users; main() sees it before the parser does.
inline constexpr std::string_view peer_word = "__tour-peer";
/// `words` are those behind it. Returns the exit status.
int run_peer(const std::vector<std::string>& words);

}  // namespace kith_cli::tour
