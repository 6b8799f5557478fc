#include "backends/backend.hpp"

#include <fmt/format.h>
#include <iterator>

namespace kith_cli {
namespace {

/// What can be done with the objects of a scheme, for the text of a refusal.
std::string_view verbs_of(kith::scheme mechanism) {
    switch (mechanism) {
    case kith::scheme::fd: return "show, send, recv, peer and fd";
    case kith::scheme::fifo: return "create, rm, show, send, recv, listen, connect, serve and call";
    case kith::scheme::sysv_mq:
    case kith::scheme::posix_mq: return "create, rm, show, drain, send, recv, serve and call";
    case kith::scheme::sysv_sem:
    case kith::scheme::posix_sem: return "create, rm, show and sem";
    case kith::scheme::sysv_shm:
    case kith::scheme::posix_shm: return "create, rm, show and shm";
    case kith::scheme::unix_socket: return "rm, show, send, recv, listen, connect, serve, call, peer and fd";
    case kith::scheme::tcp: return "send, recv, listen, connect, serve and call";
    case kith::scheme::udp: return "send and recv";
    case kith::scheme::pid: return "show and wait";
    }
    return "help";
}

}  // namespace

std::unexpected<failure> backend::cannot(const char* verb) const {
    failure why{kith::error{kith::errc::unsupported, verb, 0, kith::object_ref::name(name_of(mechanism_))},
                fmt::format("{}: objects have no '{}'", name_of(mechanism_), verb)};
    return std::unexpected{
        std::move(why).suggest(fmt::format("the verbs for {}: are {}", name_of(mechanism_), verbs_of(mechanism_)))};
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
    failure refused{kith::error{kith::errc::unsupported, option, 0, kith::object_ref::name(name_of(of.mechanism()))},
                    fmt::format("{} means nothing for {}: {}", option, name_of(of.mechanism()), why)};
    refused.misuse = true;
    return std::unexpected{std::move(refused)};
}

}  // namespace kith_cli
