// pair - one call of kith and the bare system call, measured side by side.
//
// bench/overhead_<mechanism>.cpp lists pairs. Both sides of a pair do the same work in the same order with the same
// descriptors' kinds; what surrounds the measured call (draining a pipe, say) is done with bare calls on both sides.
#pragma once
#include <benchmark/benchmark.h>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>

namespace kith_bench {

using side = std::function<void(benchmark::State&)>;

/// Lists a pair before main: `const pair write{"pipe write_some 1 B", bare, kith};`
struct pair {
    pair(const std::string& name, side bare, side kith)
        : bare_{benchmark::RegisterBenchmark((name + "/bare").c_str(), std::move(bare))},
          kith_{benchmark::RegisterBenchmark((name + "/kith").c_str(), std::move(kith))} {}
    /// For slow calls, where an estimate may give the sides very different numbers of calls: exactly `count`.
    pair&& calls(benchmark::IterationCount count) && {
        bare_->Iterations(count);
        kith_->Iterations(count);
        return std::move(*this);
    }

private:
    benchmark::internal::Benchmark* bare_;
    benchmark::internal::Benchmark* kith_;
};

/// A measurement of calls that fail is none: ends the program.
template <class T>
T&& must(T&& outcome) {
    if (!outcome) std::abort();
    return std::forward<T>(outcome);
}
inline void must_be(bool condition) {
    if (!condition) std::abort();
}

/// Runs `call` in batches of `batch`, with `between` after each batch; both are measured, so `between` should be short.
template <class Call, class Between>
void in_batches(benchmark::State& state, int batch, Call call, Between between) {
    while (state.KeepRunningBatch(batch)) {
        for (int i = 0; i < batch; ++i) call();
        between();
    }
}
template <class Call>
void each(benchmark::State& state, Call call) {
    for ([[maybe_unused]] auto step : state) call();
}

/// A pair whose sides make the same object with `make` and then call `bare(object)` or `kith(object)` again and again.
template <class Make, class Bare, class Kith>
pair compare(const std::string& name, Make make, Bare bare, Kith kith) {
    const auto side_of = [make](auto call) {
        return [make, call](benchmark::State& state) {
            auto all = make();
            each(state, [&] { call(all); });
        };
    };
    return {name, side_of(bare), side_of(kith)};
}
/// The same in batches: `between(object)` runs before the first batch and after each.
template <class Make, class Bare, class Kith, class Between>
pair compare_in_batches(const std::string& name, int batch, Make make, Bare bare, Kith kith, Between between) {
    const auto side_of = [=](auto call) {
        return [=](benchmark::State& state) {
            auto all = make();
            between(all);
            in_batches(state, batch, [&] { call(all); }, [&] { between(all); });
        };
    };
    return {name, side_of(bare), side_of(kith)};
}
/// For calls that need no object.
struct nothing {};
inline nothing no_object() { return {}; }

}  // namespace kith_bench
