// fd send, fd recv - a descriptor through a UNIX socket: of a file as it is, or of a sealed copy in memory.
//
// One message of one NUL byte carries one descriptor (a stream passes none without a byte); any program that uses
// SCM_RIGHTS is the other side. What is received is read from its beginning where it has one: the offset is shared
// with the sender.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>

#include <kith/sys/memfd.hpp>
#include <kith/sys/unix_listener.hpp>

#include "backends/unix_text.hpp"
#include "input.hpp"
#include "output.hpp"
#include "seal_names.hpp"
#include "verbs/verbs.hpp"

namespace kith_cli {
namespace {

using kith::sys::seals;
using kind = kith::address::socket_type;

struct arguments {
    std::string where;
    std::optional<std::string> file;
    bool memfd = false;
    std::string seal;
};

std::optional<seals> seals_called(std::string_view name) {
    for (const auto& one : seal_names)
        if (one.name == name) return one.which;
    for (const auto& one : seal_sets)
        if (one.name == name) return one.which;
    return std::nullopt;
}

// "all", or names with commas.
std::optional<seals> read_seals(std::string_view text) {
    seals all = seals::none;
    for (;;) {
        const auto comma = text.find(',');
        const auto found = seals_called(text.substr(0, comma));
        if (!found) return std::nullopt;
        all = all | *found;
        if (comma == std::string_view::npos) return all;
        text.remove_prefix(comma + 1);
    }
}

std::vector<std::string> names_of(seals which) {
    std::vector<std::string> names;
    for (const auto& one : seal_names)
        if (contains(which, one.which)) names.emplace_back(one.name);
    return names;
}

outcome<kith::owned_fd> opened(const std::optional<std::string>& file) {
    kith::owned_fd fd{file ? ::open(file->c_str(), O_RDONLY | O_CLOEXEC) : ::fcntl(0, F_DUPFD_CLOEXEC, 0)};
    if (!fd.valid())
        return std::unexpected{os_failure(file ? "open" : "fcntl(F_DUPFD_CLOEXEC)", errno,
                                          file ? kith::object_ref::name(*file) : kith::object_ref::descriptor(0))};
    return fd;
}

outcome<void> write_file(kith::borrowed_fd to, kith::byte_view body) {
    while (!body.empty()) {
        const auto wrote = ::write(to.get(), body.data(), body.size());
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) return std::unexpected{os_failure("write", errno, kith::object_ref::descriptor(to.get()))};
        body = body.subspan(static_cast<std::size_t>(wrote));
    }
    return {};
}

// A copy in memory that cannot be changed any more, so that its receiver may trust what it has checked.
outcome<kith::owned_fd> sealed_copy(session& s, const std::optional<std::string>& file, seals wanted) {
    auto from = input::from(std::nullopt, file);
    if (!from) return pass_on(from);
    auto copy = kith::sys::memfd::create("kith-fd-send");
    if (!copy) return pass_on(copy);
    std::array<std::byte, 65536> piece;
    for (;;) {
        const auto count = from->read_some(piece, s.patient());
        if (!count) return pass_on(count);
        if (*count == 0) break;
        if (const auto written = write_file(copy->native(), std::span{piece}.first(*count)); !written)
            return pass_on(written);
    }
    if (const auto sealed = copy->add_seals(wanted); !sealed) return pass_on(sealed);
    return copy->release();
}

template <class Socket>
outcome<void> pass(Socket socket, kith::borrowed_fd fd, const kith::wait_policy& wait) {
    const std::byte one{};
    const kith::borrowed_fd out[] = {fd};
    const auto sent = socket.send({&one, 1}, {.descriptors = out}, wait);
    if (sent) return {};
    failure why{sent.error()};
    if (sent.error().code() == kith::errc::not_permitted) {
        why.reason = "the receiver refuses descriptors";
        why.tries.emplace_back("kith send   passes the bytes instead");
    }
    return std::unexpected{std::move(why)};
}

outcome<void> pass_to(const kith::address& where, kith::borrowed_fd fd, const kith::wait_policy& wait) {
    const auto name = unix_name_of(where);
    if (!name) return pass_on(name);
    if (where.type() == kind::stream) {
        auto socket = connect_unix_stream(*name, wait);
        if (!socket) return connect_failure(where, socket.error());
        return pass(std::move(*socket), fd, wait);
    }
    if (where.type() == kind::seqpacket) {
        auto socket = connect_unix_seqpacket(*name, wait);
        if (!socket) return connect_failure(where, socket.error());
        return pass(std::move(*socket), fd, wait);
    }
    auto socket = kith::sys::open_unix_datagram();
    if (!socket) return pass_on(socket);
    if (const auto connected = socket->connect(*name); !connected) return connect_failure(where, connected.error());
    return pass(std::move(*socket), fd, wait);
}

int run_send(session& s, const arguments& how) {
    const auto where = s.address(how.where);
    if (!where) return exit_misused;
    const auto wanted = how.seal.empty() ? seals::none : read_seals(how.seal);
    if (!wanted)
        return s.misuse(fmt::format("--seal: '{}' is no list of seals", how.seal),
                        "--seal all, or --seal shrink,write");
    if (!how.seal.empty() && !how.memfd)
        return s.misuse("--seal: only a copy in memory can be sealed", "--memfd --seal all");
    auto fd = how.memfd ? sealed_copy(s, how.file, *wanted) : opened(how.file);
    if (!fd) return s.fail("read", how.file ? *how.file : "standard input", fd.error());
    if (const auto passed = pass_to(*where, fd->borrow(), s.wait()); !passed)
        return s.fail("pass a descriptor to", how.where, passed.error());
    return s.json ? s.print(facts{}.add("descriptors", 1)) : exit_done;
}

template <class Socket>
outcome<kith::owned_fd> take(Socket& socket, const kith::wait_policy& wait) {
    std::array<std::byte, 4096> bytes;
    std::array<kith::owned_fd, 1> arrived;
    const auto got = socket.receive(bytes, arrived, wait);
    if (!got) return pass_on(got);
    if (got->descriptors == 1) return std::move(arrived[0]);
    if (got->attachments_lost)
        return refuse(kith::errc::limit_reached, "recvmsg(SCM_RIGHTS)", "the descriptor that came could not be opened");
    return refuse(kith::errc::bad_peer, "recvmsg(SCM_RIGHTS)", "a message came, and no descriptor with it");
}

outcome<kith::owned_fd> take_at(const kith::address& where, const kith::wait_policy& wait) {
    const auto name = unix_name_of(where);
    if (!name) return pass_on(name);
    const kith::sys::unix_bind_options bind{.on_stale = kith::sys::unix_bind_options::stale::take_over};
    if (where.type() == kind::datagram) {
        auto socket = bind_unix_datagram(*name, bind);
        if (!socket) return bind_failure(where, socket.error());
        return take(*socket, wait);
    }
    const auto from_client = [&](auto listener) -> outcome<kith::owned_fd> {
        if (!listener) return bind_failure(where, listener.error());
        auto client = listener->accept(wait);
        if (!client) return pass_on(client);
        return take(*client, wait);
    };
    if (where.type() == kind::stream) return from_client(listen_unix_stream(*name, {.bind = bind}));
    return from_client(listen_unix_seqpacket(*name, {.bind = bind}));
}

// Everything it holds: from the beginning where there is one, by pread, because the offset is the sender's as well.
outcome<std::uint64_t> copy_out(session& s, kith::owned_fd from, const std::optional<std::string>& file) {
    kith::owned_fd to;
    if (file) {
        to = kith::owned_fd{::open(file->c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)};
        if (!to.valid()) return std::unexpected{os_failure("open", errno, kith::object_ref::name(*file))};
    }
    struct stat about{};
    const bool has_offset = ::fstat(from.get(), &about) == 0 && S_ISREG(about.st_mode);
    auto adopted = kith::io_fd::adopt(std::move(from));
    if (!adopted) return pass_on(adopted);
    kith::sys::byte_reader source{std::move(*adopted)};
    std::array<std::byte, 65536> piece;
    for (std::uint64_t total = 0;;) {
        std::size_t count = 0;
        if (has_offset) {
            const auto n = ::pread(source.native().get(), piece.data(), piece.size(), static_cast<off_t>(total));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return std::unexpected{os_failure("pread", errno)};
            count = static_cast<std::size_t>(n);
        } else if (const auto n = source.read_some(piece, s.wait())) {
            count = *n;
        } else if (n.error().code() != kith::errc::end_of_stream) {
            return pass_on(n);
        }
        if (count == 0) return total;
        total += count;
        const auto body = std::span{piece}.first(count);
        const auto text = s.json && !file ? body_json(body) : std::string{};
        const auto written = file     ? write_file(to.borrow(), body)
                             : s.json ? write_stdout(kith::bytes_of(text), s.patient())
                                      : write_stdout(body, s.patient());
        if (!written) return pass_on(written);
    }
}

int run_recv(session& s, const arguments& how) {
    const auto where = s.address(how.where);
    if (!where) return exit_misused;
    const auto wanted = how.seal.empty() ? seals::none : read_seals(how.seal);
    if (!wanted)
        return s.misuse(fmt::format("--seal: '{}' is no list of seals", how.seal),
                        "--seal all, or --seal shrink,write");
    s.catch_signals();
    auto fd = take_at(*where, s.wait());
    if (!fd) return s.fail("receive a descriptor at", how.where, fd.error());
    const auto found = kith::sys::seals_of(fd->borrow());
    if (how.memfd || !how.seal.empty()) {
        // A size that can shrink is a SIGBUS to come for whoever maps it.
        if (const auto sealed = kith::sys::expect_sealed(fd->borrow(), *wanted); !sealed) {
            failure why{sealed.error()};
            if (sealed.error().code() == kith::errc::bad_peer)
                why.reason = fmt::format("it has not the seals {}", how.seal);
            else if (sealed.error().code() == kith::errc::wrong_kind)
                why.reason = "it is no memory file";
            return s.fail("trust the descriptor from", how.where, why);
        }
    }
    const auto copied = copy_out(s, std::move(*fd), how.file);
    if (!copied) return s.fail("copy the descriptor from", how.where, copied.error());
    if (!s.json || !how.file) return exit_done;
    facts told;
    told.add("bytes", *copied);
    told.add("seals", found ? facts::value{names_of(*found)} : facts::value{nullptr});
    return s.print(told);
}

CLI::App& add_half(CLI::App& group, session& s, const char* name, const char* purpose,
                   const std::shared_ptr<arguments>& how, int (*run)(session&, const arguments&)) {
    auto& verb = add_verb(group, s, name, purpose, [&s, how, run] { return run(s, *how); });
    add_address(verb, how->where);
    add_wait_options(verb, s);
    return verb;
}

}  // namespace

void add_fd(CLI::App& app, session& s) {
    auto& group = add_group(app, "fd", "pass a descriptor to another process, or take one");

    const auto out = std::make_shared<arguments>();
    auto& send = add_half(group, s, "send",
                          "pass the descriptor of a file, or of standard input, through a UNIX socket", out, run_send);
    send.add_option("FILE", out->file, "the file to open for reading; without it standard input")->type_name("");
    send.add_flag("--memfd", out->memfd, "pass a copy of the content in memory instead");
    send.add_option("--seal", out->seal,
                    "seal the copy: all, or some of seal, shrink, grow, write, future-write, exec, with commas")
        ->type_name("SEALS");

    const auto in = std::make_shared<arguments>();
    auto& recv =
        add_half(group, s, "recv", "take one descriptor at a UNIX socket and print what it holds", in, run_recv);
    recv.add_option("FILE", in->file, "write the content to this file instead of standard output")->type_name("");
    recv.add_flag("--memfd", in->memfd, "refuse what is no memory file");
    recv.add_option("--seal", in->seal, "refuse what has not at least these seals")->type_name("SEALS");
}

}  // namespace kith_cli
