#include "tour/peer.hpp"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <utility>

#include "exit.hpp"
#include "tour/row.hpp"

namespace kith_cli::tour {
namespace {

constexpr std::uint64_t progress_step = 2U << 20;

std::int64_t now_ns() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

}  // namespace

kith::owned_fd peer::end() { return kith::owned_fd{end_number}; }

void peer::report(const std::string& line) {
    auto rest = line + '\n';
    while (!rest.empty()) {
        const auto n = ::write(report_number, rest.data(), rest.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) ::_exit(exit_failed);  // the conductor is gone: nobody waits for the result
        rest.erase(0, static_cast<std::size_t>(n));
    }
}

void peer::ready(const std::string& address) { report("ready " + address); }

outcome<void> peer::open_input() {
    if (given_.repeats == 0) return {};
    auto memory = kith::sys::map(kith::borrowed_fd{input_number}, {.access = kith::sys::memory_access::read_only});
    // An empty file cannot be mapped, and there is nothing to send either.
    if (!memory && memory.error().code() == kith::errc::wrong_size) return {};
    if (!memory) return pass_on(memory);
    block_ = std::move(*memory);
    return {};
}

void peer::start_clock() {
    if (started_ns_ == 0) started_ns_ = now_ns();
}

kith::byte_view peer::next(std::size_t most) {
    start_clock();
    const auto block = block_.view();
    if (offset_ == block.size()) {
        ++block_number_;
        offset_ = 0;
    }
    if (block.empty() || block_number_ == given_.repeats) return {};
    const auto piece = block.subspan(offset_, std::min(most, block.size() - offset_));
    offset_ += piece.size();
    bytes_ += piece.size();
    ++messages_;
    return piece;
}

void peer::take(kith::byte_view piece) {
    sum_.add(piece);
    bytes_ += piece.size();
    ++messages_;
    if (bytes_ - told_ >= progress_step) {
        told_ = bytes_;
        report(fmt::format("progress {}", bytes_));
    }
}

const std::string& peer::digest() {
    if (digest_.empty()) digest_ = sum_.hex();
    return digest_;
}

void peer::report_done() {
    const auto ended = now_ns();
    report(fmt::format("done {} {} {} {} {} {}", bytes_, messages_, lost_, started_ns_, ended, digest()));
}

void peer::report_failure(const failure& why) {
    auto text = why.reason.empty() ? kith::describe(why.cause) : why.reason;
    std::ranges::replace(text, '\n', ' ');
    report("failed " + text);
}

int run_peer(const std::vector<std::string>& words) {
    if (words.size() != 6) return exit_misused;
    const auto* what = find_row(words[0]);
    const auto& role = words[1];
    const auto number = [&](std::size_t at) { return std::strtoull(words[at].c_str(), nullptr, 10); };
    // Whatever happens to the conductor, no peer is left behind.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (what == nullptr || std::cmp_not_equal(::getppid(), number(5))) return exit_misused;
    peer self{{.where = words[2], .repeats = number(3), .increments = number(4)}};
    outcome<void> done;
    if (role == "sender") {
        done = self.open_input();
        if (done) done = what->send(self);
    } else {
        done = what->receive(self);
    }
    if (!done) {
        self.report_failure(done.error());
        return exit_failed;
    }
    self.report_done();
    return exit_done;
}

}  // namespace kith_cli::tour
