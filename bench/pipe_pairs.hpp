// pipe_pairs - a pipe that is written to and drained in batches; for overhead_pipe and overhead_fallback.
#pragma once
#include <kith/sys/pipe.hpp>

#include <unistd.h>
#include <array>

#include "pair.hpp"

namespace kith_bench {

inline constexpr int writes_per_drain = 1000;

struct open_pair {
    kith::sys::pipe_pair pipe = std::move(*must(kith::sys::open_pipe()));
    std::array<std::byte, 65536> buffer{};
    [[nodiscard]] int in() const { return pipe.reader.native().get(); }
    [[nodiscard]] int out() const { return pipe.writer.native().get(); }
    void fill() { must_be(::write(out(), buffer.data(), writes_per_drain) == writes_per_drain); }
    void drain() { must_be(::read(in(), buffer.data(), buffer.size()) > 0); }
};

inline void bare_write(benchmark::State& state) {
    open_pair all;
    in_batches(
        state, writes_per_drain, [&] { must_be(::write(all.out(), all.buffer.data(), 1) == 1); }, [&] { all.drain(); });
}
inline void kith_write(benchmark::State& state) {
    open_pair all;
    const kith::byte_view one{all.buffer.data(), 1};
    in_batches(state, writes_per_drain, [&] { must(all.pipe.writer.write_some(one)); }, [&] { all.drain(); });
}

}  // namespace kith_bench
