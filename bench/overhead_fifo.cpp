// FIFOs and duplex pipes. Opening a FIFO never follows a link at the name's end and looks, with fstat, whether a FIFO
// was opened; the bare side does the same.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <kith/sigpipe.hpp>
#include <kith/sys/duplex_pipe.hpp>
#include <kith/sys/fifo.hpp>

#include "pair.hpp"

namespace {

using namespace kith_bench;
using namespace kith::sys;

constexpr int batch = 1000;

struct place {
    place() { must_be(::mkdtemp(directory.data()) != nullptr), path = directory + "/fifo"; }
    ~place() { ::unlink(path.c_str()), ::rmdir(directory.c_str()); }
    place(const place&) = delete;
    place& operator=(const place&) = delete;
    std::string directory = "/dev/shm/kith_bench_XXXXXX";
    std::string path;
};
struct fifo : place {
    fifo() {
        must_be(::mkfifo(path.c_str(), 0600) == 0);
        reader = std::move(*must(open_fifo_reader(path, kith::deadline::immediate())));
        writer = std::move(*must(open_fifo_writer(path, kith::deadline::immediate())));
    }
    void fill() { must_be(::write(out(), buffer.data(), batch) == batch); }
    void drain() {
        while (::read(in(), buffer.data(), buffer.size()) > 0) {
        }
    }
    [[nodiscard]] int in() const { return reader.native().get(); }
    [[nodiscard]] int out() const { return writer.native().get(); }
    fifo_reader reader;
    fifo_writer writer;
    std::array<std::byte, 8192> buffer{};
};
struct guarded_fifo : fifo {
    kith::sigpipe_guard guard;
};
fifo make() { return {}; }
constexpr auto drain = [](fifo& f) { f.drain(); };
constexpr auto bare_write = [](fifo& f) { must_be(::write(f.out(), f.buffer.data(), 1) == 1); };
constexpr auto kith_write = [](fifo& f) { must(f.writer.write_some({f.buffer.data(), 1})); };

const pair write_guarded = compare_in_batches(
    "fifo write_some 1 B, in a sigpipe_guard", batch, [] { return guarded_fifo{}; }, bare_write, kith_write, drain);
const pair write_nosignal =
    compare_in_batches("fifo write_some 1 B, RWF_NOSIGNAL", batch, make, bare_write, kith_write, drain);
const pair read = compare_in_batches(
    "fifo read_some 1 B", batch, make, [](fifo& f) { must_be(::read(f.in(), f.buffer.data(), 1) == 1); },
    [](fifo& f) { must(f.reader.read_some({f.buffer.data(), 1})); }, [](fifo& f) { f.fill(); });
const pair read_nothing = compare(
    "fifo read_some of nothing, immediate", make, [](fifo& f) { must_be(::read(f.in(), f.buffer.data(), 1) < 0); },
    [](fifo& f) { must_be(!f.reader.read_some({f.buffer.data(), 1}, kith::deadline::immediate())); });

// open(2), fstat(2) and close(2).
void bare_open(const std::string& path, int access) {
    const int fd = ::open(path.c_str(), access | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    struct stat file{};
    must_be(fd >= 0 && ::fstat(fd, &file) == 0 && S_ISFIFO(file.st_mode));
    ::close(fd);
}
const pair open_reader = compare(
    "fifo open_fifo_reader at once (O_NOFOLLOW, fstat) and close", make, [](fifo& f) { bare_open(f.path, O_RDONLY); },
    [](fifo& f) { must(open_fifo_reader(f.path, kith::deadline::immediate())); });
const pair open_writer = compare(
    "fifo open_fifo_writer at once (O_NOFOLLOW, fstat) and close", make, [](fifo& f) { bare_open(f.path, O_WRONLY); },
    [](fifo& f) { must(open_fifo_writer(f.path, kith::deadline::immediate())); });
const pair open_both = compare(
    "fifo open_fifo_both (O_NOFOLLOW, fstat) and close", make, [](fifo& f) { bare_open(f.path, O_RDWR); },
    [](fifo& f) { must(open_fifo_both(f.path)); });

void bare_look(const std::string& path) {
    struct stat file{};
    must_be(::lstat(path.c_str(), &file) == 0 && S_ISFIFO(file.st_mode));
    benchmark::DoNotOptimize(file);
}
const pair status = compare(
    "fifo fifo_status_of", make, [](fifo& f) { bare_look(f.path); }, [](fifo& f) { must(fifo_status_of(f.path)); });
const pair create_and_remove = compare(
    "fifo create_fifo and remove_fifo (lstat: only a FIFO is removed)", [] { return place{}; },
    [](place& p) {
        must_be(::mkfifo(p.path.c_str(), 0600) == 0);
        bare_look(p.path);
        must_be(::unlink(p.path.c_str()) == 0);
    },
    [](place& p) {
        must(create_fifo(p.path));
        must(remove_fifo(p.path));
    });

// A look for a writer takes a pipe of one's own: tee copies into it and takes nothing out.
void bare_look_for_writer(int fifo) {
    int ends[2];
    must_be(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    must_be(::tee(fifo, ends[1], 1, SPLICE_F_NONBLOCK) < 0 && errno == EAGAIN);
    ::close(ends[0]), ::close(ends[1]);
}
const pair has_writer = compare(
    "fifo has_writer (pipe2, tee, close, close)", make, [](fifo& f) { bare_look_for_writer(f.in()); },
    [](fifo& f) { must_be(*must(f.reader.has_writer())); });
const pair wait_for_writer = compare(
    "fifo wait_for_writer that is there (pipe2, tee, close, close)", make,
    [](fifo& f) { bare_look_for_writer(f.in()); }, [](fifo& f) { must(f.reader.wait_for_writer()); });
const pair start_over = compare(
    "fifo start_over (F_GETFL, open in /proc, dup3, close)", make,
    [](fifo& f) {
        must_be(::fcntl(f.in(), F_GETFL) >= 0);
        std::array<char, 32> link{};
        std::snprintf(link.data(), link.size(), "/proc/self/fd/%d", f.in());
        const int fresh = ::open(link.data(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        must_be(fresh >= 0 && ::dup3(fresh, f.in(), O_CLOEXEC) == f.in());
        ::close(fresh);
    },
    [](fifo& f) { must(f.reader.start_over()); });
struct both_ends : place {
    both_ends() {
        must_be(::mkfifo(path.c_str(), 0600) == 0);
        both = std::move(*must(open_fifo_both(path)));
    }
    [[nodiscard]] int fd() const { return both.native().get(); }
    fifo_both both;
    std::array<std::byte, 8192> buffer{};
};
const pair write_both = compare_in_batches(
    "fifo write_some 1 B through fifo_both, RWF_NOSIGNAL", batch, [] { return both_ends{}; },
    [](both_ends& f) { must_be(::write(f.fd(), f.buffer.data(), 1) == 1); },
    [](both_ends& f) { must(f.both.write_some({f.buffer.data(), 1})); },
    [](both_ends& f) {
        while (::read(f.fd(), f.buffer.data(), f.buffer.size()) > 0) {
        }
    });

struct duplex {
    duplex_pair ends = std::move(*must(open_duplex_pipe()));
    std::array<std::byte, 8192> buffer{};
    [[nodiscard]] int ours() const { return ends.first.native().get(); }
    [[nodiscard]] int theirs() const { return ends.second.native().get(); }
};
constexpr int few = 64;
const pair duplex_write = compare_in_batches(
    "duplex_pipe write_some 1 B", few, [] { return duplex{}; },
    [](duplex& d) { must_be(::send(d.ours(), d.buffer.data(), 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1); },
    [](duplex& d) { must(d.ends.first.write_some({d.buffer.data(), 1})); },
    [](duplex& d) { ::recv(d.theirs(), d.buffer.data(), d.buffer.size(), MSG_DONTWAIT); });
const pair duplex_read = compare_in_batches(
    "duplex_pipe read_some 1 B", few, [] { return duplex{}; },
    [](duplex& d) { must_be(::recv(d.ours(), d.buffer.data(), 1, MSG_DONTWAIT) == 1); },
    [](duplex& d) { must(d.ends.first.read_some({d.buffer.data(), 1})); },
    [](duplex& d) { must_be(::send(d.theirs(), d.buffer.data(), few, MSG_NOSIGNAL | MSG_DONTWAIT) == few); });
const pair duplex_open = compare(
    "duplex_pipe open_duplex_pipe and close", no_object,
    [](nothing) {
        int ends[2];
        must_be(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
        ::close(ends[0]);
        ::close(ends[1]);
    },
    [](nothing) { must(open_duplex_pipe()); });

}  // namespace
