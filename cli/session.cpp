#include "session.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <ctime>
#include <kith/fd.hpp>
#include <kith/sys/byte_stream.hpp>
#include <thread>

#include "messages.hpp"
#include "output.hpp"
#include "schemes.hpp"

namespace kith_cli {
namespace {

std::atomic<int> caught{0};
std::atomic<int> stop_event{-1};

sigset_t ending_signals() {
    sigset_t set;
    sigemptyset(&set);
    // What the caller ignores (nohup, a job in the background of a script) stays ignored.
    for (const int signal : {SIGINT, SIGTERM, SIGHUP})
        if (!is_ignored(signal)) sigaddset(&set, signal);
    return set;
}

// One signal often comes twice: timeout(1) sends it to its child and to the whole group. Only one that comes later
// than this says that the end takes too long.
constexpr std::chrono::seconds same_request{1};

/// Takes the signals of `set` that come within the span and forgets them.
void forget_repeated(const sigset_t& set, std::chrono::nanoseconds span) {
    const auto until = std::chrono::steady_clock::now() + span;
    for (auto left = span; left.count() > 0; left = until - std::chrono::steady_clock::now()) {
        const timespec rest{static_cast<std::time_t>(left.count() / 1'000'000'000), left.count() % 1'000'000'000};
        if (::sigtimedwait(&set, nullptr, &rest) < 0 && errno == EAGAIN) return;
    }
}

void say(std::string_view text) {
    while (!text.empty()) {
        const auto n = ::write(2, text.data(), text.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;  // nobody to tell
        text.remove_prefix(static_cast<std::size_t>(n));
    }
}

}  // namespace

kith::wait_policy session::wait() const {
    auto wait = patient();
    if (no_wait)
        wait.until = kith::deadline::immediate();
    else if (timeout_ns)
        wait.until = kith::deadline::in(std::chrono::nanoseconds{*timeout_ns});
    return wait;
}

kith::wait_policy session::patient() const {
    if (stop_.stop_possible()) return {kith::deadline::never(), stop_};
    return {};
}

void session::catch_signals() {
    if (stop_.stop_possible()) return;
    stop_event.store(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    source_ = std::stop_source{};
    stop_ = source_.get_token();
    const sigset_t set = ending_signals();
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    std::thread{[source = source_, set]() mutable {
        int signal = 0;
        while (sigwait(&set, &signal) != 0) {
        }
        caught.store(signal);
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto rung = ::write(stop_event.load(), &one, sizeof one);
        source.request_stop();
        forget_repeated(set, same_request);
        while (sigwait(&set, &signal) != 0) {
        }
        std::signal(signal, SIG_DFL);
        pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
        ::kill(::getpid(), signal);
    }}.detach();
}

int session::caught_signal() { return caught.load(); }

int session::stop_descriptor() { return stop_event.load(); }

std::optional<kith::address> session::address(const std::string& text) {
    kith::address_fault fault;
    auto read = kith::address::parse(text, &fault);
    if (!read) {
        fail("read the address", text, bad_address(text, read.error(), fault));
        return std::nullopt;
    }
    const auto usable = schemes_of(verb);
    if (std::ranges::find(usable, read->mechanism()) != usable.end()) return std::move(*read);
    auto why =
        refuse_use(kith::errc::unsupported, "address", fmt::format("'kith {}' works on {}", verb, names_of(usable)));
    why.error().tries.push_back(
        fmt::format("the verbs for {}: are {}", name_of(read->mechanism()), verbs_for(read->mechanism())));
    fail("use the address", text, why.error());
    return std::nullopt;
}

int session::fail(std::string_view action, std::string_view object, const failure& why) {
    const attempt what{verb, action, object};
    // Whoever sent the signal knows; main() ends by it.
    const bool told = caught_signal() != 0 && why.cause.code() == kith::errc::stopped;
    if (!quiet && !told) say(json ? failure_json(what, why) : failure_text(what, why));
    return why.misuse ? exit_misused : exit_status_of(why.cause.code());
}

int session::misuse(std::string_view sentence, std::string_view hint) {
    const auto usual = fmt::format("kith {} --help", verb);
    if (hint.empty() && !verb.empty()) hint = usual;
    if (!quiet) say(json ? misuse_json(sentence, hint) : misuse_text(sentence, hint));
    return exit_misused;
}

int session::print(const facts& what) {
    if (!write(json ? facts_json(what) : facts_table(what))) return exit_failed;
    return exit_done;
}

bool session::can_write() {
    const int flags = ::fcntl(1, F_GETFL);
    if (flags >= 0 && (flags & O_PATH) == 0 && (flags & O_ACCMODE) != O_RDONLY) return true;
    fail("write to", "standard output",
         failure{kith::error{kith::errc::invalid, "write", EBADF, kith::object_ref::descriptor(1)}, "it is closed"});
    return false;
}

bool session::write(kith::byte_view body) {
    const auto done = write_stdout(body, patient());
    if (done) return true;
    auto why = done.error();
    if (why.cause.code() == kith::errc::peer_gone) why.reason = "nobody reads it any more";
    if (why.cause.os_error() == EBADF) why.reason = "it is closed";
    fail("write to", "standard output", why);
    return false;
}

void session::remark(std::string_view sentence) const {
    if (verbose) say(fmt::format("kith: {}\n", sentence));
}

void session::announce(std::string_view sentence) const {
    if (!quiet) say(fmt::format("kith: {}\n", sentence));
}

outcome<std::size_t> session::read_stdin(kith::byte_span buffer, const kith::wait_policy& wait) {
    static auto in = [] {
        auto copy = duplicate(kith::borrowed_fd{0});
        return copy ? kith::io_fd::adopt(std::move(*copy)) : kith::result<kith::io_fd>{kith::fail(copy.error())};
    }();
    if (!in) return std::unexpected{failure{in.error(), "standard input is closed"}};
    static kith::sys::byte_reader reader{std::move(*in)};
    auto count = reader.read_some(buffer, wait);
    if (count) return *count;
    if (count.error().code() == kith::errc::end_of_stream) return std::size_t{0};
    if (count.error().os_error() == EBADF) return std::unexpected{failure{count.error(), "standard input is closed"}};
    return pass_on(count);
}

bool is_ignored(int signal) {
    struct sigaction now{};
    return ::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

void die_of(int signal) {
    std::signal(signal, SIG_DFL);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    ::raise(signal);
    ::_exit(exit_signal_base + signal);
}

int exit_status_of(kith::errc code) noexcept {
    switch (code) {
    case kith::errc::would_block: return exit_nothing_now;
    case kith::errc::timed_out: return exit_timed_out;
    case kith::errc::end_of_stream:
    case kith::errc::removed:
    case kith::errc::peer_gone: return exit_ended;
    case kith::errc::bad_address: return exit_misused;
    default: return exit_failed;
    }
}

}  // namespace kith_cli
