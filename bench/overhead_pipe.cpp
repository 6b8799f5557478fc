#include <fcntl.h>
#include <sys/ioctl.h>

#include "pipe_pairs.hpp"

namespace {

using namespace kith_bench;
using namespace kith::sys;

// The kernel's flag is there, or this row measures the fallback; bench/measure says which.
const pair write_nosignal{"pipe write_some 1 B, RWF_NOSIGNAL", bare_write, kith_write};
const pair write_guarded{"pipe write_some 1 B, in a sigpipe_guard", bare_write, [](benchmark::State& state) {
                             const kith::sigpipe_guard guard;
                             kith_write(state);
                         }};

const pair write_page{"pipe write_some 4096 B, in a sigpipe_guard",
                      [](benchmark::State& state) {
                          open_pair all;
                          in_batches(
                              state, 16, [&] { must_be(::write(all.out(), all.buffer.data(), 4096) == 4096); },
                              [&] { all.drain(); });
                      },
                      [](benchmark::State& state) {
                          open_pair all;
                          const kith::sigpipe_guard guard;
                          const kith::byte_view page{all.buffer.data(), 4096};
                          in_batches(state, 16, [&] { must(all.pipe.writer.write_some(page)); }, [&] { all.drain(); });
                      }};

const pair read{"pipe read_some 1 B",
                [](benchmark::State& state) {
                    open_pair all;
                    all.fill();
                    in_batches(
                        state, writes_per_drain, [&] { must_be(::read(all.in(), all.buffer.data(), 1) == 1); },
                        [&] { all.fill(); });
                },
                [](benchmark::State& state) {
                    open_pair all;
                    all.fill();
                    in_batches(
                        state, writes_per_drain, [&] { must(all.pipe.reader.read_some({all.buffer.data(), 1})); },
                        [&] { all.fill(); });
                }};

const pair empty_read{
    "pipe read_some of nothing, immediate",
    [](benchmark::State& state) {
        open_pair all;
        each(state, [&] { must_be(::read(all.in(), all.buffer.data(), 1) < 0); });
    },
    [](benchmark::State& state) {
        open_pair all;
        each(state, [&] { must_be(!all.pipe.reader.read_some({all.buffer.data(), 1}, kith::deadline::immediate())); });
    }};

const pair queued{"pipe queued",
                  [](benchmark::State& state) {
                      open_pair all;
                      each(state, [&] {
                          int bytes = 0;
                          must_be(::ioctl(all.in(), FIONREAD, &bytes) == 0);
                          benchmark::DoNotOptimize(bytes);
                      });
                  },
                  [](benchmark::State& state) {
                      open_pair all;
                      each(state, [&] { must(all.pipe.reader.queued()); });
                  }};

const pair open_and_close{"pipe open_pipe and close",
                          [](benchmark::State& state) {
                              each(state, [&] {
                                  int ends[2];
                                  must_be(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
                                  ::close(ends[0]);
                                  ::close(ends[1]);
                              });
                          },
                          [](benchmark::State& state) { each(state, [&] { must(open_pipe()); }); }};

const pair capacity{"pipe pipe_capacity",
                    [](benchmark::State& state) {
                        open_pair all;
                        each(state, [&] { must_be(::fcntl(all.in(), F_GETPIPE_SZ) > 0); });
                    },
                    [](benchmark::State& state) {
                        open_pair all;
                        each(state, [&] { must(pipe_capacity(all.pipe.reader.native())); });
                    }};

const pair set_capacity{"pipe set_pipe_capacity",
                        [](benchmark::State& state) {
                            open_pair all;
                            each(state, [&] { must_be(::fcntl(all.in(), F_SETPIPE_SZ, 65536) > 0); });
                        },
                        [](benchmark::State& state) {
                            open_pair all;
                            each(state, [&] { must(set_pipe_capacity(all.pipe.reader.native(), 65536)); });
                        }};

// From one pipe to another and back, so that neither runs full.
const pair splice_there_and_back{"pipe splice 1000 B, in a sigpipe_guard",
                                 [](benchmark::State& state) {
                                     open_pair a;
                                     open_pair b;
                                     a.fill();
                                     bool there = true;
                                     each(state, [&] {
                                         must_be(::splice(there ? a.in() : b.in(), nullptr, there ? b.out() : a.out(),
                                                          nullptr, 65536, SPLICE_F_MOVE | SPLICE_F_NONBLOCK) > 0);
                                         there = !there;
                                     });
                                 },
                                 [](benchmark::State& state) {
                                     open_pair a;
                                     open_pair b;
                                     a.fill();
                                     bool there = true;
                                     const kith::sigpipe_guard guard;
                                     each(state, [&] {
                                         must(kith::sys::splice(there ? a.pipe.reader : b.pipe.reader,
                                                                there ? b.pipe.writer : a.pipe.writer, 65536));
                                         there = !there;
                                     });
                                 }};

// Out of a pipe that stays full into one that is drained now and then.
struct source_and_sink {
    source_and_sink() { source.fill(); }
    open_pair source;
    open_pair sink;
    kith::sigpipe_guard guard;
    void drain() {
        while (::read(sink.in(), sink.buffer.data(), sink.buffer.size()) > 0) {
        }
    }
};
constexpr int pages = 8;
source_and_sink make_source_and_sink() { return {}; }
const pair tee_to_a_sink = compare_in_batches(
    "pipe tee 1000 B, in a sigpipe_guard", pages, make_source_and_sink,
    [](source_and_sink& s) { must_be(::tee(s.source.in(), s.sink.out(), 65536, SPLICE_F_NONBLOCK) > 0); },
    [](source_and_sink& s) { must(kith::sys::tee(s.source.pipe.reader, s.sink.pipe.writer, 65536)); },
    [](source_and_sink& s) { s.drain(); });
const pair vmsplice_a_page = compare_in_batches(
    "pipe vmsplice 4096 B, in a sigpipe_guard", pages, make_source_and_sink,
    [](source_and_sink& s) {
        const iovec page{s.source.buffer.data(), 4096};
        must_be(::vmsplice(s.sink.out(), &page, 1, SPLICE_F_NONBLOCK) == 4096);
    },
    [](source_and_sink& s) { must(kith::sys::vmsplice(s.sink.pipe.writer, {s.source.buffer.data(), 4096})); },
    [](source_and_sink& s) { s.drain(); });

}  // namespace
