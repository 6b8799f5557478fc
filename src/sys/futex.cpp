#include <kith/sys/futex.hpp>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <optional>

#include "base/clock.hpp"
#include "base/errors.hpp"
#include "base/observer.hpp"

namespace kith::inline KITH_ABI::sys {
namespace {

using word_type = std::atomic<std::uint32_t>;

constexpr std::int64_t stop_slice_ns = 20'000'000;
constexpr std::int64_t look_slice_ns = 2'000'000;

// Found out once per process; a race costs one more failed call.
constinit std::atomic<bool> waitv_missing{false};

errc code_of(int os_error) noexcept { return os_error == EFAULT ? errc::io : detail::code_for(os_error); }

bool differs(const futex_word& one) noexcept { return one.word->load(std::memory_order_acquire) != one.expected; }

std::optional<std::size_t> first_changed(std::span<const futex_word> words) noexcept {
    for (std::size_t i = 0; i < words.size(); ++i)
        if (differs(words[i])) return i;
    return std::nullopt;
}

// The calls below return 0 or more, or -1 with errno; the deadline is absolute. Always the shared form: the word may
// be mapped by others.
long wait_bitset(const word_type& word, std::uint32_t expected, deadline until) noexcept {
    const auto end = detail::to_timespec(until.is_never() ? 0 : until.monotonic_ns());
    return ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, expected, until.is_never() ? nullptr : &end, nullptr,
                     FUTEX_BITSET_MATCH_ANY);
}

long waitv(std::span<const futex_waitv> words, deadline until) noexcept {
    const auto end = detail::to_timespec(until.is_never() ? 0 : until.monotonic_ns());
    return ::syscall(SYS_futex_waitv, words.data(), words.size(), 0, until.is_never() ? nullptr : &end,
                     CLOCK_MONOTONIC);
}

// A stop request as a word that can be waited on together with the caller's.
struct stop_word {
    word_type requested{0};
    void operator()() noexcept {
        requested.store(1, std::memory_order_release);
        ::syscall(SYS_futex, &requested, FUTEX_WAKE_PRIVATE, INT_MAX);
    }
};
struct stop_ringer {
    stop_word* bell;
    void operator()() const noexcept { (*bell)(); }
};

// What a failed sleep means: go on sleeping (nothing), or the error to return.
std::optional<error> verdict(int os_error, const wait_policy& wait, const char* operation) noexcept {
    if (os_error == EINTR && wait.signal == on_signal::report) return error{errc::stopped, operation, EINTR};
    if (os_error != EINTR && os_error != ETIMEDOUT && os_error != EAGAIN)
        return error{code_of(os_error), operation, os_error};
    if (wait.stop_requested()) return error{errc::stopped, operation};
    if (detail::expired(wait.until)) return error{errc::timed_out, operation, ETIMEDOUT};
    return std::nullopt;
}

bool stoppable(const wait_policy& wait) noexcept { return wait.stop != nullptr && wait.stop->stop_possible(); }

// Whether futex_waitv is missing: also EPERM, which older container runtimes answer to what they do not know.
bool remember_missing(int os_error) noexcept {
    if (os_error != ENOSYS && os_error != EPERM) return false;
    if (!waitv_missing.exchange(true)) detail::notify(event_kind::fallback_taken, "futex_waitv", {}, os_error);
    return true;
}

// Sleeps on the first word for a while and looks at all of them.
result<futex_any> wait_by_looking(std::span<const futex_word> words, const wait_policy& wait) noexcept {
    detail::notify(event_kind::polling, "futex");
    const auto slice_ns = words.size() > 1 ? look_slice_ns : stop_slice_ns;
    for (;;) {
        if (const auto changed = first_changed(words)) return futex_any{*changed, futex_end::changed};
        const auto end = deadline::earlier(wait.until, deadline::in(std::chrono::nanoseconds{slice_ns}));
        if (wait_bitset(*words[0].word, words[0].expected, end) == 0) return futex_any{0, futex_end::woken};
        const int os_error = errno;
        if (const auto changed = first_changed(words)) return futex_any{*changed, futex_end::changed};
        if (const auto end_of_wait = verdict(os_error, wait, "futex")) return fail(*end_of_wait);
    }
}

}  // namespace

result<int> futex_wake(const word_type& word, int count) noexcept {
    const auto woken = ::syscall(SYS_futex, &word, FUTEX_WAKE, count);
    if (woken < 0) return fail(code_of(errno), "futex(FUTEX_WAKE)", errno);
    return static_cast<int>(woken);
}

result<futex_end> futex_wait(const word_type& word, std::uint32_t expected, const wait_policy& wait) noexcept {
    const futex_word one{&word, expected};
    if (stoppable(wait) && !wait.until.is_immediate()) {
        const auto ended = futex_wait_any({&one, 1}, wait);
        if (!ended) return fail(ended.error());
        return ended->end;
    }
    for (;;) {
        if (differs(one)) return futex_end::changed;
        if (wait.until.is_immediate()) return fail(errc::would_block, "futex");
        if (wait_bitset(word, expected, wait.until) == 0) return futex_end::woken;
        const int os_error = errno;
        if (os_error == EAGAIN) return futex_end::changed;
        if (const auto end_of_wait = verdict(os_error, wait, "futex")) return fail(*end_of_wait);
    }
}

result<futex_any> futex_wait_any(std::span<const futex_word> words, const wait_policy& wait) noexcept {
    constexpr auto operation = "futex_waitv";
    if (words.empty() || words.size() > futex_max_words) return fail(errc::invalid, operation, EINVAL);
    if (wait.stop_requested()) return fail(errc::stopped, operation);
    if (const auto changed = first_changed(words)) return futex_any{*changed, futex_end::changed};
    if (wait.until.is_immediate()) return fail(errc::would_block, operation);
    if (waitv_missing.load(std::memory_order_relaxed)) return wait_by_looking(words, wait);

    std::array<futex_waitv, futex_max_words + 1> list;
    std::size_t size = 0;
    for (const auto& one : words)
        list[size++] = {.val = one.expected,
                        .uaddr = reinterpret_cast<std::uintptr_t>(one.word),
                        .flags = FUTEX_32,
                        .__reserved = 0};
    stop_word bell;
    std::optional<std::stop_callback<stop_ringer>> on_stop;
    if (stoppable(wait)) {
        list[size++] = {.val = 0,
                        .uaddr = reinterpret_cast<std::uintptr_t>(&bell.requested),
                        .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG,
                        .__reserved = 0};
        on_stop.emplace(*wait.stop, stop_ringer{&bell});
    }
    for (;;) {
        const auto index = waitv({list.data(), size}, wait.until);
        const int os_error = errno;
        if (index >= 0 && static_cast<std::size_t>(index) < words.size())
            return futex_any{static_cast<std::size_t>(index), futex_end::woken};
        if (const auto changed = first_changed(words)) return futex_any{*changed, futex_end::changed};
        if (index < 0 && remember_missing(os_error)) return wait_by_looking(words, wait);
        if (const auto end_of_wait = verdict(index < 0 ? os_error : EAGAIN, wait, operation)) return fail(*end_of_wait);
    }
}

}  // namespace kith::inline KITH_ABI::sys
