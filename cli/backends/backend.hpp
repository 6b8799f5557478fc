// backend - what the command can do with the objects of one scheme. One file per scheme implements it:
// cli/backends/<scheme>.cpp derives from `backend`, overrides what its mechanism can do, and defines the function
// `<scheme>_backend()` declared below; registry.cpp maps schemes to these functions, one `case` each.
//
// What is not overridden fails with `errc::unsupported`; cli/schemes.cpp lists what is, so that verbs never ask for it.
// Backends are stateless singletons; whatever is open lives in the sessions they return. They never print, never
// read stdin, never look at command-line options: they get an address and a struct, and return values.
//
// Failures: return the library's error as it is (it converts), or a `failure` with a reason and details where
// you know more than code and errno say: which limit, its value, the command that would help (cli/failure.hpp).
// The verb adds "cannot send 65536 bytes to 'posix-mq:/jobs':", so a reason is only the why.
// Limits that messages.cpp explains by itself, from operation and errno: see `explain_limits` in cli/messages.hpp.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <kith/address.hpp>
#include <kith/bytes.hpp>
#include <kith/fd.hpp>
#include <kith/time.hpp>

#include "facts.hpp"
#include "failure.hpp"

namespace kith_cli {

using bytes = std::vector<std::byte>;

/// kith create. What is not set was not given on the command line: use the mechanism's default. An option that the
/// mechanism has no use for must be refused with `option_refused`, never ignored.
struct create_options {
    std::optional<unsigned> mode = {};  ///< permission bits; umask per SEMANTICS G12 is the kernel's business
    bool exclusive = false;             ///< must be new: else `exists`. Without it, finding a fitting object is success
    std::optional<std::uint64_t> size = {};          ///< bytes: memory, and the bytes that a System V queue may hold
    std::optional<std::uint64_t> max_messages = {};  ///< POSIX queues
    std::optional<std::uint64_t> message_size = {};  ///< bytes, POSIX queues
    std::vector<std::int64_t> values = {};  ///< semaphores: one initial value each; empty: one semaphore, value 0
};

/// What create did.
struct created {
    kith::address where;  ///< how to reach it from now on: for sysv-*:private, the address with its id
    bool is_new = true;   ///< false: it was there and fits
};

/// Which message to take; the mechanism's own rules (System V: msgop(2)).
struct selection {
    enum class rule : std::uint8_t {
        any,          ///< --type 0, or none given
        exactly,      ///< --type N
        lowest_upto,  ///< --type -N: the lowest type that is at most N
        except,       ///< --type !N
    };
    rule how = rule::any;
    std::int64_t type = 0;  ///< N, always positive
};

/// kith recv, for one message or one read.
struct receive_options {
    selection which = {};                    ///< `any` but for System V queues
    std::optional<std::uint64_t> peek = {};  ///< look at message INDEX (0 = first) and leave it; 0 but for those queues
    std::size_t max_size = 0;                ///< largest body in bytes; 0: the object's own limit, or 1 MiB
    bool truncate = false;                   ///< --truncate: cut a longer one instead of failing with `truncated`
};

/// kith send, for one message.
struct send_options {
    std::optional<std::int64_t> type = {};  ///< from 1 on. System V queues, default 1; the verb refuses it elsewhere
    std::optional<std::int64_t> priority = {};  ///< 0 to 32767. POSIX queues, default 0; the verb refuses it elsewhere
};

/// One message, or one piece of a stream.
struct message {
    bytes body = {};
    std::optional<std::int64_t> type = {};
    std::optional<std::int64_t> priority = {};
    std::optional<std::int64_t> pid = {};  ///< the sender, where the mechanism tells
    std::optional<std::int64_t> uid = {};
    std::optional<std::string> from = {};         ///< the sender's address, where it has one (datagrams)
    bool truncated = false;                       ///< the body was cut (only with receive_options::truncate)
    std::optional<std::uint64_t> full_size = {};  ///< of a cut message, where the mechanism tells
};

/// How a session is opened. Opening may wait (a FIFO without the other side).
struct open_options {
    bool follow = false;  ///< recv --follow: go on when the last writer leaves, until stopped
    bool peek = false;    ///< only peeks will come: open without any effect on others
};

/// An object opened for sending. Destroying it closes it.
class sender {
public:
    virtual ~sender() = default;
    /// Whether bytes flow without boundaries: then send() gets pieces of up to 64 KiB as they come.
    [[nodiscard]] virtual bool is_stream() const = 0;
    /// The longest message in bytes; 0: not known, or a stream. `kith send` reads no more than that from stdin.
    [[nodiscard]] virtual std::size_t max_message() const { return 0; }
    /// Sends all of `body` (a stream: every byte; a message: whole or not at all).
    virtual outcome<void> send(kith::byte_view body, const send_options& options, const kith::wait_policy& wait) = 0;
    /// After the last one: tells the other side that nothing follows (half-close), where that exists.
    virtual outcome<void> finish() { return {}; }
};

/// An object opened for receiving.
class receiver {
public:
    virtual ~receiver() = default;
    [[nodiscard]] virtual bool is_stream() const = 0;
    /// Receives one message, or of a stream what is there (at least one byte). Nothing there and no waiting:
    /// `would_block`. Orderly end: `end_of_stream`. Too large for max_size: `truncated`, and the message stays
    /// where the mechanism allows that. Memory is for at most options.max_size.
    virtual outcome<message> receive(const receive_options& options, const kith::wait_policy& wait) = 0;
};

/// One two-way connection: kith connect, and each client of kith listen.
/// `kith listen` and `kith connect` wait in poll(2) on the two descriptors and then call with
/// deadline::immediate(); both may be the same descriptor.
class duplex {
public:
    virtual ~duplex() = default;
    [[nodiscard]] virtual kith::borrowed_fd readable() const = 0;
    [[nodiscard]] virtual kith::borrowed_fd writable() const = 0;
    /// At least one byte; `end_of_stream` at the peer's (half-)close.
    virtual outcome<std::size_t> read_some(kith::byte_span buffer, const kith::wait_policy& wait) = 0;
    virtual outcome<std::size_t> write_some(kith::byte_view body, const kith::wait_policy& wait) = 0;
    /// Half-close: the peer reads the end, and can still answer.
    virtual outcome<void> finish_writing() = 0;
    /// Who is at the other end, for --verbose and --json; may be empty.
    [[nodiscard]] virtual facts peer() const { return {}; }
};

/// A listening object. Destroying it stops listening and removes a name that it made.
class acceptor {
public:
    virtual ~acceptor() = default;
    /// Where it really listens (the port that the kernel chose).
    [[nodiscard]] virtual kith::address where() const = 0;
    virtual outcome<std::unique_ptr<duplex>> accept(const kith::wait_policy& wait) = 0;
};

struct listen_options {
    std::optional<unsigned> mode = {};  ///< of a name in the file system
};

/// One request that waits for its reply. Destroying it unanswered tells the client that there will be no reply,
/// where the mechanism can (closing the connection). `kith serve --jobs N` uses exchanges from other threads
/// than the one in server::next(), one thread per exchange.
class exchange {
public:
    virtual ~exchange() = default;
    /// The request, whole. For connections: what the client sends until it half-closes, so this can wait.
    virtual outcome<bytes> request(std::size_t max_size, const kith::wait_policy& wait) = 0;
    virtual outcome<void> reply(kith::byte_view body, const kith::wait_policy& wait) = 0;
};

/// An object that takes requests.
class server {
public:
    virtual ~server() = default;
    [[nodiscard]] virtual kith::address where() const = 0;
    virtual outcome<std::unique_ptr<exchange>> next(const kith::wait_policy& wait) = 0;
};

/// Everything that `kith VERB ADDR` can ask of a mechanism. `where` always has the backend's own scheme.
class backend {
public:
    explicit backend(kith::scheme mechanism) : mechanism_{mechanism} {}
    virtual ~backend() = default;
    backend(const backend&) = delete;
    backend& operator=(const backend&) = delete;
    [[nodiscard]] kith::scheme mechanism() const { return mechanism_; }

    virtual outcome<created> create(const kith::address& where, const create_options& options);
    virtual outcome<void> remove(const kith::address& where);
    /// The queue for the replies of `kith serve` at this one, if there is one: it outlives a server that is killed.
    virtual std::optional<kith::address> reply_queue_of(const kith::address& /*where*/) { return std::nullopt; }
    /// What can be seen without disturbing anybody. A FIFO is never opened for this.
    virtual outcome<facts> show(const kith::address& where);
    /// Removes all messages that are there now; returns how many.
    virtual outcome<std::uint64_t> drain(const kith::address& where);

    virtual outcome<std::unique_ptr<sender>> open_sender(const kith::address& where, const open_options& options,
                                                         const kith::wait_policy& wait);
    virtual outcome<std::unique_ptr<receiver>> open_receiver(const kith::address& where, const open_options& options,
                                                             const kith::wait_policy& wait);

    virtual outcome<std::unique_ptr<acceptor>> listen(const kith::address& where, const listen_options& options);
    virtual outcome<std::unique_ptr<duplex>> connect(const kith::address& where, const kith::wait_policy& wait);

    virtual outcome<std::unique_ptr<server>> serve(const kith::address& where, const listen_options& options);
    /// Sends one request and waits for its reply, of at most `max_size` bytes.
    virtual outcome<bytes> call(const kith::address& where, kith::byte_view request, std::size_t max_size,
                                const kith::wait_policy& wait);

    /// pid, uid, gid of the other end; keys "pid", "uid", "gid".
    virtual outcome<facts> peer(const kith::address& where, const kith::wait_policy& wait);

protected:
    /// "tcp: objects have no 'drain'" as `unsupported`.
    [[nodiscard]] std::unexpected<failure> cannot(const char* verb) const;

private:
    kith::scheme mechanism_;
};

/// The failure for an option that this mechanism has no use for: `return option_refused(*this, "--size", "a FIFO's
/// capacity belongs to its readers and writers");`. Ends the command as misused (2).
[[nodiscard]] std::unexpected<failure> option_refused(const backend& of, const char* option, const char* why);

/// The backend of a scheme; one that supports nothing where there is none. Never fails.
[[nodiscard]] backend& backend_for(kith::scheme mechanism);

// Defined in cli/backends/<scheme>.cpp, entered in registry.cpp.
[[nodiscard]] backend& fd_backend();
[[nodiscard]] backend& fifo_backend();
[[nodiscard]] backend& sysv_mq_backend();
[[nodiscard]] backend& posix_mq_backend();
[[nodiscard]] backend& sysv_sem_backend();
[[nodiscard]] backend& posix_sem_backend();
[[nodiscard]] backend& sysv_shm_backend();
[[nodiscard]] backend& posix_shm_backend();
[[nodiscard]] backend& unix_backend();
[[nodiscard]] backend& tcp_backend();
[[nodiscard]] backend& udp_backend();
[[nodiscard]] backend& pid_backend();

}  // namespace kith_cli
