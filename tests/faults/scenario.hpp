// scenario - one use of a public operation, every system call of which is made to fail, one at a time.
//
// tests/faults/scenarios/<mechanism>.cpp holds them. Nobody lists the calls: the harness steps through an
// undisturbed run and takes each system call that it sees for a site (harness.hpp).
#pragma once
#include <sys/syscall.h>
#include <functional>
#include <kith/result.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace kith_faults {

/// One run: prepare(), then act(), then the destructor. Only act() is disturbed.
class scenario {
public:
    virtual ~scenario() = default;
    /// Makes what act() needs.
    virtual void prepare() {}
    /// The operations under test; returns the first failure. Each system call in here is a site.
    virtual kith::result<void> act() = 0;
};

inline constexpr long any_call = -1;
inline constexpr int any_error = -1;
inline constexpr int same_error = -1;

/// Where a failed call may end otherwise than in that very errno and the code that belongs to it.
struct allowance {
    long call;                       ///< SYS_...; any_call for all
    int os_error;                    ///< the errno that was injected; any_error for all
    std::optional<kith::errc> code;  ///< the code that then comes back; none: the operation succeeds all the same
    const char* why;
    int reported = same_error;  ///< the errno that then comes back
    bool leaves_names = false;  ///< a name may be left in a folder
};

/// A scenario as it is listed.
struct entry {
    std::string name;
    std::function<std::unique_ptr<scenario>()> make;
    std::vector<allowance> allowed;
};
std::vector<entry>& entries();

/// Lists a scenario before main: `const listed<pipe_transfer> pipe{"pipe_transfer"};`
template <class Scenario>
struct listed {
    explicit listed(std::string name, std::vector<allowance> allowed = {}) {
        entries().push_back({std::move(name), [] { return std::make_unique<Scenario>(); }, std::move(allowed)});
    }
};

/// In act(): ends it with the failure of `expression`, if that fails.
#define FAULT_TRY(expression)                                                          \
    do {                                                                               \
        if (const auto tried = (expression); !tried) return kith::fail(tried.error()); \
    } while (false)

/// In act(): ends it unless `expression` fails with the code `expected`.
#define FAULT_FAILS(expression, expected)                                                   \
    do {                                                                                    \
        const auto tried = (expression);                                                    \
        if (tried) return kith::fail(kith::errc::bad_peer, "a call that must not succeed"); \
        if (tried.error().code() != (expected)) return kith::fail(tried.error());           \
    } while (false)

/// In act(): names what `expression` gives, or ends act() with its failure. Use it as a pointer to the value.
#define FAULT_MAKE(name, ...)  \
    auto name = (__VA_ARGS__); \
    if (!(name)) return kith::fail((name).error())

}  // namespace kith_faults
