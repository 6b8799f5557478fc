#include <kith/sys/duplex_pipe.hpp>
#include <kith/sys/pipe.hpp>

#include "faults/scenario.hpp"

namespace {

using namespace kith_faults;
using namespace kith::sys;
using kith::deadline;
using kith::errc;

// Open, resize, ask, write, read, close.
class pipe_transfer : public scenario {
public:
    kith::result<void> act() override {
        auto pipe = open_pipe({.capacity = 8192});
        if (!pipe) return kith::fail(pipe.error());
        FAULT_TRY(pipe_capacity(pipe->reader.native()));
        FAULT_TRY(set_pipe_capacity(pipe->writer.native(), 16384));
        FAULT_TRY(pipe->writer.write_some(kith::bytes_of("hello")));
        FAULT_TRY(pipe->reader.queued());
        std::byte buffer[5];
        FAULT_TRY(pipe->reader.read_some(buffer));
        return {};
    }
};
const listed<pipe_transfer> transfer{"pipe_transfer",
                                     {{SYS_pwritev2, EOPNOTSUPP, {}, "older kernel: SIGPIPE is masked instead"},
                                      {SYS_pwritev2, ENOSYS, {}, "older kernel: SIGPIPE is masked instead"}}};

// A wait that ends at its deadline, with the object's bell and a stop token's.
class pipe_wait : public scenario {
public:
    void prepare() override { pipe_ = std::move(*open_pipe()); }
    kith::result<void> act() override {
        const std::stop_source stop;
        const auto token = stop.get_token();
        std::byte buffer;
        const auto nothing = pipe_->reader.read_some({&buffer, 1}, {deadline::in(std::chrono::milliseconds{1}), token});
        if (nothing || nothing.error().code() != errc::timed_out) return kith::fail(nothing.error());
        return {};
    }

private:
    std::optional<pipe_pair> pipe_;
};
const listed<pipe_wait> wait{"pipe_wait",
                             {{SYS_eventfd2, any_error, {}, "without descriptors it looks again at intervals"}}};

// Inside the kernel: vmsplice, tee, splice.
class pipe_splice : public scenario {
public:
    void prepare() override {
        from_ = std::move(*open_pipe());
        to_ = std::move(*open_pipe());
    }
    kith::result<void> act() override {
        FAULT_TRY(vmsplice(from_->writer, kith::bytes_of("constant")));
        FAULT_TRY(tee(from_->reader, to_->writer, 100));
        FAULT_TRY(kith::sys::splice(from_->reader, to_->writer, 100));
        return {};
    }

private:
    std::optional<pipe_pair> from_;
    std::optional<pipe_pair> to_;
};
const listed<pipe_splice> inside_the_kernel{"pipe_splice"};

// A descriptor from elsewhere: adopted, duplicated.
class descriptor : public scenario {
public:
    void prepare() override { pipe_ = std::move(*open_pipe()); }
    kith::result<void> act() override {
        auto copy = kith::duplicate(pipe_->writer.native());
        if (!copy) return kith::fail(copy.error());
        FAULT_TRY(kith::io_fd::adopt(std::move(*copy)));
        return {};
    }

private:
    std::optional<pipe_pair> pipe_;
};
const listed<descriptor> adopted{"descriptor"};

// Both ways at once: open, exchange, the end of one direction.
class duplex : public scenario {
public:
    kith::result<void> act() override {
        FAULT_MAKE(pair, open_duplex_pipe());
        FAULT_TRY(pair->second.write_some(kith::bytes_of("hello")));
        std::byte buffer[5];
        std::size_t sent = 0;
        std::size_t received = 0;
        const auto soon = deadline::in(std::chrono::seconds{5});
        FAULT_TRY(pair->first.exchange(kith::bytes_of("there"), sent, buffer, received, soon));
        FAULT_TRY(pair->second.read_some(buffer));
        FAULT_TRY(pair->second.finish_writing());
        sent = 0;
        std::size_t more = 0;
        const auto end = pair->first.exchange({}, sent, buffer, more, soon);
        if (end || end.error().code() != errc::end_of_stream) return kith::fail(end.error());
        return {};
    }
};
const listed<duplex> both_ways{"duplex_pipe"};

}  // namespace
