#include "backends/backend.hpp"

#include <fmt/format.h>

namespace kith_cli {

std::unexpected<failure> backend::cannot(const char* verb) const {
    return refuse_use(kith::errc::unsupported, verb,
                      fmt::format("{}: objects have no '{}'", name_of(mechanism_), verb));
}

outcome<created> backend::create(const kith::address&, const create_options&) { return cannot("create"); }
outcome<void> backend::remove(const kith::address&) { return cannot("rm"); }
outcome<facts> backend::show(const kith::address&) { return cannot("show"); }
outcome<std::uint64_t> backend::drain(const kith::address&) { return cannot("drain"); }

outcome<std::unique_ptr<sender>> backend::open_sender(const kith::address&, const open_options&,
                                                      const kith::wait_policy&) {
    return cannot("send");
}
outcome<std::unique_ptr<receiver>> backend::open_receiver(const kith::address&, const open_options&,
                                                          const kith::wait_policy&) {
    return cannot("recv");
}
outcome<std::unique_ptr<acceptor>> backend::listen(const kith::address&, const listen_options&) {
    return cannot("listen");
}
outcome<std::unique_ptr<duplex>> backend::connect(const kith::address&, const kith::wait_policy&) {
    return cannot("connect");
}
outcome<std::unique_ptr<server>> backend::serve(const kith::address&, const listen_options&) { return cannot("serve"); }
outcome<bytes> backend::call(const kith::address&, kith::byte_view, std::size_t, const kith::wait_policy&) {
    return cannot("call");
}
outcome<facts> backend::peer(const kith::address&, const kith::wait_policy&) { return cannot("peer"); }

std::unexpected<failure> option_refused(const backend& of, const char* option, const char* why) {
    return refuse_use(kith::errc::unsupported, option,
                      fmt::format("{} means nothing for {}: {}", option, name_of(of.mechanism()), why));
}

}  // namespace kith_cli
