// Addresses of any bytes: the parser never reads outside its text, says where it stopped inside of it, and what it
// accepts prints to a text that reads back as the same value.
#include <kith/address.hpp>

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    kith::address_fault fault;
    const auto parsed = kith::address::parse(text, &fault);
    if (!parsed) {
        if (fault.position > size || fault.reason.empty()) std::abort();
        return 0;
    }
    const auto printed = parsed->text();
    const auto again = kith::address::parse(printed);
    if (!again || *again != *parsed || again->text() != printed) std::abort();
    return 0;
}
