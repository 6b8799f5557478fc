#include "tour/conductor.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <kith/sys/pipe.hpp>
#include <kith/sys/poll.hpp>
#include <kith/sys/spawn.hpp>
#include <sstream>
#include <vector>

#include "tour/peer.hpp"

namespace kith_cli::tour {
namespace {

using kith::errc;
namespace sys = kith::sys;

// One of the two processes, as the conductor sees it.
class performer {
public:
    performer(const char* role, const row& what, const input& in, const run_options& options)
        : role_{role}, what_{what}, in_{in}, options_{options} {}

    outcome<void> start(const std::string& where, kith::owned_fd end) {
        auto pipe = sys::open_pipe();
        if (!pipe) return pass_on(pipe);
        std::vector<sys::descriptor_for_child> numbers{{pipe->writer.native(), report_number}};
        if (std::string_view{role_} == "sender") numbers.push_back({in_.block.native(), input_number});
        if (end.valid()) numbers.push_back({end.borrow(), end_number});
        const auto repeats = std::to_string(in_.repeats);
        const auto share =
            std::to_string(std::string_view{role_} == "sender" ? options_.increments / 2
                                                               : options_.increments - options_.increments / 2);
        const auto parent = std::to_string(::getpid());
        const std::array<std::string_view, 7> words{peer_word, what_.name, role_, where, repeats, share, parent};
        auto started =
            sys::spawn("/proc/self/exe", words, {.search_path = false, .keep_others = false, .descriptors = numbers});
        if (!started) return pass_on(started);
        process_ = std::move(*started);
        reports_ = std::move(pipe->reader);
        return {};
    }

    [[nodiscard]] kith::borrowed_fd reports() const { return reports_.native(); }
    [[nodiscard]] bool started() const { return process_.pid() != 0; }
    [[nodiscard]] bool finished() const { return done_; }
    [[nodiscard]] const char* role() const { return role_; }

    /// Reads what it reported. `on_line(verb, rest)` gets each line. False: its reports have ended.
    template <class OnLine>
    bool read_reports(OnLine on_line) {
        std::array<std::byte, 4096> buffer;
        const auto count = reports_.read_some(buffer, kith::deadline::immediate());
        if (!count) return count.error().code() == errc::would_block;
        pending_ += kith::text_of(std::span{buffer}.first(*count));
        for (auto end = pending_.find('\n'); end != std::string::npos; end = pending_.find('\n')) {
            const auto line = pending_.substr(0, end);
            pending_.erase(0, end + 1);
            const auto blank = line.find(' ');
            const auto verb = line.substr(0, blank);
            if (verb == "done") done_ = true;
            on_line(verb, blank == std::string::npos ? std::string{} : line.substr(blank + 1));
        }
        return true;
    }

    /// Empty: as it should.
    std::string how_it_ended(const kith::wait_policy& wait) {
        const auto status = process_.wait(wait);
        if (!status) return "it ended its reports but not itself";
        if (status->signaled) return fmt::format("it was ended by signal {}", status->value);
        return status->value == 0 ? "" : fmt::format("it ended with status {}", status->value);
    }

private:
    const char* role_;
    const row& what_;
    const input& in_;
    const run_options& options_;
    sys::child_process process_;
    sys::pipe_reader reports_;
    std::string pending_;
    bool done_ = false;
};

struct done_report {
    std::uint64_t bytes = 0, messages = 0, lost = 0;
    std::int64_t started_ns = 0, ended_ns = 0;
    std::string sha256;

    explicit done_report(const std::string& text = {}) {
        std::istringstream{text} >> bytes >> messages >> lost >> started_ns >> ended_ns >> sha256;
    }
};

class performance {
public:
    performance(const row& what, const input& in, const run_options& options)
        : what_{what},
          in_{in},
          options_{options},
          until_{kith::deadline::in(options.deadline)},
          receiver_{"receiver", what, in, options},
          sender_{"sender", what, in, options} {
        result_.what = &what;
    }

    outcome<row_result> run() {
        auto made =
            what_.set_up({.name = fmt::format("{}-{}", options_.name, what_.name), .directory = options_.directory});
        if (!made) return failed("the stage", made.error());
        stage_ = std::move(*made);
        if (auto started = receiver_.start(stage_->where(), stage_->end_for_receiver()); !started)
            return failed("the receiver", started.error());
        while (result_.why.empty() && !(receiver_.finished() && sender_.finished())) {
            if (auto looked = look(); !looked) return pass_on(looked);
        }
        for (auto* one : {&receiver_, &sender_}) {
            if (!result_.why.empty()) break;
            if (const auto how = one->how_it_ended({until_, options_.stop}); !how.empty())
                result_.why = fmt::format("the {}: {}", one->role(), how);
        }
        if (result_.why.empty()) judge();
        return result_;
    }

private:
    outcome<row_result> failed(std::string_view who, const failure& why) {
        result_.why = fmt::format("{}: {}", who, why.reason.empty() ? kith::describe(why.cause) : why.reason);
        return result_;
    }

    outcome<void> look() {
        sys::poll_set both;
        for (auto* one : {&receiver_, &sender_})
            if (one->started() && !one->finished())
                if (auto added = both.add(one->reports(), POLLIN); !added) return pass_on(added);
        if (auto ready = both.wait({until_, options_.stop}); !ready) {
            if (ready.error().code() == errc::timed_out)
                result_.why = "it took too long";
            else
                return pass_on(ready);
        }
        for (auto* one : {&receiver_, &sender_})
            if (result_.why.empty() && one->started() && !one->finished()) read(*one);
        return {};
    }

    void read(performer& who) {
        const bool more = who.read_reports([&](const std::string& verb, const std::string& rest) {
            if (verb == "ready")
                start_sender(rest);
            else if (verb == "progress" && options_.progress)
                options_.progress(what_, std::strtoull(rest.c_str(), nullptr, 10));
            else if (verb == "done")
                (&who == &receiver_ ? received_ : sent_) = done_report{rest};
            else if (verb == "failed")
                result_.why = fmt::format("the {}: {}", who.role(), rest);
        });
        if (!more && !who.finished() && result_.why.empty()) {
            const auto how = who.how_it_ended(kith::deadline::in(std::chrono::seconds{1}));
            result_.why = fmt::format("the {}: {}", who.role(), how.empty() ? "it ended without a report" : how);
        }
    }

    void start_sender(const std::string& where) {
        if (auto started = sender_.start(where, stage_->end_for_sender()); !started)
            result_.why = fmt::format("the sender: {}", kith::describe(started.error().cause));
    }

    void judge() {
        const auto start = what_.counts ? std::min(sent_.started_ns, received_.started_ns) : sent_.started_ns;
        const auto end = what_.counts ? std::max(sent_.ended_ns, received_.ended_ns) : received_.ended_ns;
        result_.seconds = static_cast<double>(end - start) / 1e9;
        result_.lost = sent_.lost;
        if (what_.counts) {
            const auto counted = stage_->count();
            result_.messages = counted.value_or(0);
            result_.ok = counted == options_.increments;
            if (!result_.ok)
                result_.why = fmt::format("the counter shows {} instead of {}", result_.messages, options_.increments);
            return;
        }
        result_.bytes = received_.bytes;
        result_.messages = received_.messages;
        result_.sha256 = received_.sha256;
        result_.ok = received_.bytes == in_.size() && received_.sha256 == in_.sha256;
        if (!result_.ok)
            result_.why = fmt::format("{} bytes with the SHA-256 {} arrived instead of {} with {}", received_.bytes,
                                      received_.sha256, in_.size(), in_.sha256);
    }

    const row& what_;
    const input& in_;
    const run_options& options_;
    kith::deadline until_;
    row_result result_;
    done_report sent_;
    done_report received_;
    std::unique_ptr<stage> stage_;  // outlives the processes: they are killed before their objects go
    performer receiver_;
    performer sender_;
};

}  // namespace

outcome<row_result> run_row(const row& what, const input& in, const run_options& options) {
    return performance{what, in, options}.run();
}

std::string private_directory::base() {
    // A socket's path has room for 107 bytes: a longer $TMPDIR is of no use.
    constexpr std::size_t longest = 50;
    const char* given = std::getenv("TMPDIR");
    const std::string_view wanted = given != nullptr ? given : "";
    return std::string{wanted.empty() || wanted.size() > longest ? "/tmp" : wanted};
}

outcome<private_directory> private_directory::make(const std::string& name) {
    const auto path = fmt::format("{}/{}", base(), name);
    const auto failed = [&](const char* operation) {
        return std::unexpected{os_failure(operation, errno, kith::object_ref::name(path))};
    };
    // It gets its name when it is locked. Where there is no flock it stays unlocked, and no other run can lock it.
    const auto unborn = path + ".new";
    if (::mkdir(unborn.c_str(), 0700) != 0) return failed("mkdir");
    kith::owned_fd lock{::open(unborn.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    ::flock(lock.get(), LOCK_EX | LOCK_NB);
    if (::rename(unborn.c_str(), path.c_str()) != 0) {
        auto why = failed("rename");
        ::rmdir(unborn.c_str());
        return why;
    }
    return private_directory{path, std::move(lock)};
}

private_directory::private_directory(private_directory&& other) noexcept
    : path_{std::move(other.path_)}, lock_{std::move(other.lock_)} {
    other.path_.clear();
}

private_directory::~private_directory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

}  // namespace kith_cli::tour
