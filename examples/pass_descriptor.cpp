// pass_descriptor give PATH FILE | take PATH - hands an open file to another process through a UNIX socket.
//
// `take` listens at PATH; `give` opens FILE, says its name in a packet, and passes the descriptor with it. The taker
// may read the file although it may lack the right to open it: it was opened by somebody who has.
#include <fcntl.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include <kith/sys/unix_listener.hpp>

using namespace std::chrono_literals;
using namespace kith::sys;

static int report(const kith::error& failure) {
    std::fprintf(stderr, "pass_descriptor: %s\n", kith::describe(failure).c_str());
    return 1;
}

static int give(const unix_name& to, const char* path) {
    const kith::owned_fd file{::open(path, O_RDONLY | O_CLOEXEC)};
    if (!file.valid()) return std::fprintf(stderr, "pass_descriptor: %s: %s\n", path, std::strerror(errno)), 1;
    auto socket = connect_unix_seqpacket(to, kith::deadline::in(10s));
    if (!socket) return report(socket.error());
    const std::array passed{file.borrow()};
    if (auto sent = socket->send(kith::bytes_of(path), {.descriptors = passed}, kith::deadline::in(10s)); !sent)
        return report(sent.error());
    return 0;
}

static int take(const unix_name& at) {
    auto listener = listen_unix_seqpacket(at, {.bind = {.on_stale = unix_bind_options::stale::take_over}});
    if (!listener) return report(listener.error());
    auto giver = listener->accept();
    if (!giver) return report(giver.error());
    const auto who = peer_of(*giver);
    if (!who) return report(who.error());

    // [take]
    std::array<std::byte, 4096> name;
    std::array<kith::owned_fd, 1> file;  // more than one is closed and counted, never leaked
    const auto got = giver->receive(name, file, kith::deadline::in(10s));
    if (!got) return report(got.error());
    if (got->descriptors != 1) return std::fprintf(stderr, "pass_descriptor: no file came\n"), 1;
    // [/take]
    const std::string called{kith::text_of({name.data(), got->size})};
    std::fprintf(stderr, "%s from process %d\n", called.c_str(), static_cast<int>(who->pid));

    // pread: the descriptor shares its offset with the giver's.
    std::array<char, 65536> buffer;
    ssize_t n = 0;
    for (off_t at_byte = 0; (n = ::pread(file[0].get(), buffer.data(), buffer.size(), at_byte)) > 0; at_byte += n)
        std::fwrite(buffer.data(), 1, static_cast<std::size_t>(n), stdout);
    return n == 0 ? 0 : 1;
}

int main(int argc, char** argv) {
    const std::string_view what{argc > 1 ? argv[1] : ""};
    const bool giving = what == "give" && argc == 4;
    if (!giving && !(what == "take" && argc == 3))
        return std::fprintf(stderr, "usage: pass_descriptor give PATH FILE | take PATH\n"), 2;
    const auto name = unix_name::path(argv[2]);
    if (!name) return report(name.error());
    return giving ? give(*name, argv[3]) : take(*name);
}
