#include <kith/sigpipe.hpp>
#include <kith/sys/duplex_pipe.hpp>
#include <kith/sys/pipe.hpp>

#include <fcntl.h>
#include <csignal>

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

// Writing when nobody reads: the signal that the kernel then sends must not get out.
class without_reader : public scenario {
public:
    // Where the kernel is said to have no pending signal, the signal that it has all the same is delivered.
    void prepare() override {
        std::signal(SIGPIPE, [](int) {});
    }
    ~without_reader() override { std::signal(SIGPIPE, SIG_DFL); }

protected:
    static kith::result<void> write_in_vain(byte_writer& writer) {
        FAULT_FAILS(writer.write_some(kith::bytes_of("hello")), errc::peer_gone);
        return {};
    }
};

// A descriptor in blocking mode.
class blocking_transfer : public without_reader {
public:
    void prepare() override {
        without_reader::prepare();
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) return;
        reader_ = byte_reader{std::move(*kith::io_fd::adopt(kith::owned_fd{ends[0]}))};
        writer_ = byte_writer{std::move(*kith::io_fd::adopt(kith::owned_fd{ends[1]}))};
    }
    kith::result<void> act() override {
        FAULT_TRY(writer_->write_some(kith::bytes_of("hello")));
        std::byte buffer[5];
        FAULT_TRY(reader_->read_some(buffer));
        reader_->close();
        return write_in_vain(*writer_);
    }

private:
    std::optional<byte_reader> reader_;
    std::optional<byte_writer> writer_;
};
const listed<blocking_transfer> in_blocking_mode{
    "pipe_in_blocking_mode",
    {{SYS_preadv2, EOPNOTSUPP, {}, "before Linux 6.5: read plainly"},
     {SYS_preadv2, ENOSYS, {}, "older kernel: read plainly"},
     {SYS_pwritev2, EOPNOTSUPP, {}, "before Linux 6.5: written plainly"},
     {SYS_pwritev2, ENOSYS, {}, "older kernel: written plainly"},
     {SYS_pwritev2, EPIPE, {}, "what the scenario asks for"},
     {SYS_write, EPIPE, {}, "what the scenario asks for"},
     {SYS_rt_sigtimedwait, any_error, {}, "no SIGPIPE to be taken back, as it seems"}}};

class guarded_write : public without_reader {
public:
    void prepare() override {
        without_reader::prepare();
        pipe_ = std::move(*open_pipe());
        pipe_->reader.close();
    }
    kith::result<void> act() override {
        const kith::sigpipe_guard quiet;
        return write_in_vain(pipe_->writer);
    }

private:
    std::optional<pipe_pair> pipe_;
};
const listed<guarded_write> under_a_guard{
    "pipe_under_a_sigpipe_guard",
    {{SYS_write, EPIPE, {}, "what the scenario asks for"},
     {SYS_rt_sigtimedwait, any_error, {}, "no SIGPIPE to be taken back, as it seems"}}};

// A kernel without RWF_NOSIGNAL.
class masked_write : public without_reader {
public:
    void prepare() override {
        without_reader::prepare();
        pipe_ = std::move(*open_pipe());
        pipe_->reader.close();
    }
    kith::result<void> act() override { return write_in_vain(pipe_->writer); }

private:
    std::optional<pipe_pair> pipe_;
};
const listed<masked_write> signal_masked{"pipe_without_reader",
                                         {{SYS_pwritev2, EPIPE, {}, "what the scenario asks for"},
                                          {SYS_pwritev2, EOPNOTSUPP, {}, "older kernel: SIGPIPE is masked instead"},
                                          {SYS_pwritev2, ENOSYS, {}, "older kernel: SIGPIPE is masked instead"}}};

// A wait that ends at its deadline, with the object's bell and a stop token's.
class pipe_wait : public scenario {
public:
    void prepare() override { pipe_ = std::move(*open_pipe()); }
    kith::result<void> act() override {
        const std::stop_source stop;
        const auto token = stop.get_token();
        std::byte buffer;
        FAULT_FAILS(pipe_->reader.read_some({&buffer, 1}, {deadline::in(std::chrono::milliseconds{1}), token}),
                    errc::timed_out);
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
        FAULT_FAILS(pair->first.exchange({}, sent, buffer, more, soon), errc::end_of_stream);
        return {};
    }
};
const listed<duplex> both_ways{"duplex_pipe"};

}  // namespace
