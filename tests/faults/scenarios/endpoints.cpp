// Addresses that the system is asked about.
#include <kith/sys/endpoint.hpp>

#include "faults/scenario.hpp"

namespace {

using namespace kith_faults;
using namespace kith::sys;
using kith::errc;

// The number of a network interface.
class zone : public scenario {
public:
    kith::result<void> act() override {
        FAULT_TRY(endpoint::numeric("fe80::1%lo", 80));
        return {};
    }
};
const listed<zone> interface_by_name{"endpoint_zone",
                                     {{SYS_socket, any_error, {}, "the C library tries another kind of socket"},
                                      {SYS_ioctl, EINVAL, errc::unsupported, "the C library makes it ENOSYS", ENOSYS}}};

// The port of a service, looked for in a file. Not both loopback addresses: to sort those the C library asks the
// kernel, and ends the program when that fails.
class service : public scenario {
public:
    kith::result<void> act() override {
        for (const bool numeric_only : {true, false}) {
            const auto found = resolve("", "http", {.ipv6 = false, .numeric_only = numeric_only});
            // This machine need not have a list of services.
            if (!found && found.error().code() != errc::invalid) return kith::fail(found.error());
        }
        return {};
    }
};
const listed<service> resolved{
    "resolve", {{any_call, any_error, {}, "a list that cannot be read is none: the C library says no more than that"}}};

}  // namespace
