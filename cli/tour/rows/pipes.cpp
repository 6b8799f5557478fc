// pipes - pipe and full-duplex pipe between kin, and the FIFO, a pipe with a name.
#include <fcntl.h>
#include <fmt/format.h>
#include <kith/sys/duplex_pipe.hpp>
#include <kith/sys/fifo.hpp>
#include <kith/sys/pipe.hpp>

#include "tour/peer.hpp"
#include "tour/row.hpp"
#include "tour/rows/stream.hpp"

namespace kith_cli::tour {
namespace {

namespace sys = kith::sys;

// What a child inherits is in blocking mode. This end is ours alone, so the mode is ours to choose.
template <class End>
End inherited() {
    auto fd = peer::end();
    const int flags = ::fcntl(fd.get(), F_GETFL);
    const bool set = flags >= 0 && ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) == 0;
    return End{std::move(fd), set ? kith::fd_mode::nonblocking : kith::fd_mode::blocking};
}

class pipe_stage final : public stage {
public:
    explicit pipe_stage(sys::pipe_pair pipe) : pipe_{std::move(pipe)} {}
    kith::owned_fd end_for_receiver() override { return pipe_.reader.release(); }
    kith::owned_fd end_for_sender() override { return pipe_.writer.release(); }

private:
    sys::pipe_pair pipe_;
};

outcome<std::unique_ptr<stage>> set_up_pipe(const stage_options&) {
    auto pipe = sys::open_pipe();
    if (!pipe) return pass_on(pipe);
    return std::make_unique<pipe_stage>(std::move(*pipe));
}

outcome<void> receive_pipe(peer& self) {
    auto reader = inherited<sys::pipe_reader>();
    self.ready("-");
    return receive_stream(self, reader);
}

outcome<void> send_pipe(peer& self) {
    auto writer = inherited<sys::pipe_writer>();
    return send_stream(self, writer);
}

class duplex_stage final : public stage {
public:
    explicit duplex_stage(sys::duplex_pair pipe) : pipe_{std::move(pipe)} {}
    kith::owned_fd end_for_receiver() override { return pipe_.first.release(); }
    kith::owned_fd end_for_sender() override { return pipe_.second.release(); }

private:
    sys::duplex_pair pipe_;
};

outcome<std::unique_ptr<stage>> set_up_duplex(const stage_options&) {
    auto pipe = sys::open_duplex_pipe();
    if (!pipe) return pass_on(pipe);
    return std::make_unique<duplex_stage>(std::move(*pipe));
}

// The digest goes back the other way: the sender ends only when it has read it.
outcome<void> receive_duplex(peer& self) {
    auto end = inherited<sys::duplex_end>();
    self.ready("-");
    if (auto all = receive_stream(self, end); !all) return all;
    std::size_t done = 0;
    if (auto answered = end.write_full(kith::bytes_of(self.digest()), done); !answered) return pass_on(answered);
    return {};
}

outcome<void> send_duplex(peer& self) {
    auto end = inherited<sys::duplex_end>();
    if (auto all = send_stream(self, end); !all) return all;
    if (auto finished = end.finish_writing(); !finished) return pass_on(finished);
    std::array<std::byte, 64> answer;
    std::size_t done = 0;
    if (auto read = end.read_full(answer, done); !read) return pass_on(read);
    return {};
}

class fifo_stage final : public stage {
public:
    explicit fifo_stage(std::string path) : path_{std::move(path)} {}
    ~fifo_stage() override { static_cast<void>(sys::remove_fifo(path_)); }
    [[nodiscard]] std::string where() const override { return path_; }

private:
    std::string path_;
};

outcome<std::unique_ptr<stage>> set_up_fifo(const stage_options& options) {
    auto path = options.directory + "/fifo";
    if (auto made = sys::create_fifo(path); !made) return pass_on(made);
    return std::make_unique<fifo_stage>(std::move(path));
}

outcome<void> receive_fifo(peer& self) {
    self.ready(self.where());
    auto reader = sys::open_fifo_reader(self.where());  // waits for the writer
    if (!reader) return pass_on(reader);
    return receive_stream(self, *reader);
}

outcome<void> send_fifo(peer& self) {
    auto writer = sys::open_fifo_writer(self.where());
    if (!writer) return pass_on(writer);
    return send_stream(self, *writer);
}

constexpr row rows[] = {
    {"pipe", "parent and child, one way", relation::kin, "bytes", "no", set_up_pipe, receive_pipe, send_pipe},
    {"duplex-pipe", "parent and child, both ways on one descriptor", relation::kin, "bytes", "no", set_up_duplex,
     receive_duplex, send_duplex},
    {"fifo", "a pipe with a name in the file system", relation::strangers, "bytes", "name", set_up_fifo, receive_fifo,
     send_fifo},
};

}  // namespace

std::span<const row> pipe_rows() { return rows; }

}  // namespace kith_cli::tour
