// traced_run - one run of a scenario in a traced child, with faults injected.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "faults/holdings.hpp"
#include "faults/scenario.hpp"

namespace kith_faults {

/// What the child tells; in memory that both share.
struct report {
    bool finished;
    bool succeeded;
    kith::errc code;
    int os_error;
    const char* operation;  // a literal: the same address in the forked child
    holdings before;
    holdings after;
};

/// A system call that act() made.
struct seen_call {
    long number;
    long second_argument;
    bool fourth_argument;  // whether there is one: the time-out of futex(2)
    std::vector<std::uintptr_t> origins;
};

/// One call that is not made, and what it returns instead.
struct fault {
    long call;
    std::size_t occurrence;  // the how manieth of these calls; other calls may come and go with the timing
    int os_error;
};

/// What act() did in one run.
struct traced_run {
    std::vector<seen_call> calls;
    std::size_t injected = 0;      ///< how many of the planned faults
    std::size_t before_fault = 0;  ///< how many calls came before the last of them, itself included
    int status = 0;                ///< the child's end, as wait(2) tells it
};

/// The errnos of a call, or nullptr (errnos.hpp).
const std::vector<int>* errnos_of(const seen_call& call);

/// How many of the calls have that number.
std::size_t count_of(std::span<const seen_call> seen, long number);

/// Runs the scenario in a fresh child, with the given faults, one after the other.
traced_run run_once(const entry& one, std::span<const fault> planned, report& told);

/// Opens the file of KITH_FAULT_SITES (harness.hpp), if there is to be one.
void open_site_list();

}  // namespace kith_faults
