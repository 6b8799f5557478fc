// kith/address.hpp - one line of text that names an object of any mechanism.
//
// "fifo:/run/x", "sysv-mq:0x4b01", "tcp:[::1]:80": the scheme says which mechanism, the rest which object.
// The grammar is in kith_addresses(7). `%XX` stands for the byte with that value, unknown keys are refused,
// and printing an address and parsing it again gives an equal one. An address opens nothing and promises
// nothing about the object: lengths that only the kernel limits are left to the mechanism.
// Thread safety: values; distinct objects from any threads. Parsing and printing allocate; nothing waits.
// Signal handlers: no. Fork, exec, crash: an address holds nothing that could be left behind.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <kith/result.hpp>

namespace kith::inline KITH_ABI {

/// The mechanism that an address names.
enum class scheme : std::uint8_t {
    fd,           ///< fd:3, fd:PID/3: a descriptor of this process or of another one
    fifo,         ///< fifo:/run/x
    sysv_mq,      ///< sysv-mq:0x4b01, sysv-mq:/path?proj=65, sysv-mq:id=32768, sysv-mq:private
    posix_mq,     ///< posix-mq:/jobs
    sysv_sem,     ///< sysv-sem:, as sysv-mq:
    posix_sem,    ///< posix-sem:/lock
    sysv_shm,     ///< sysv-shm:, as sysv-mq:
    posix_shm,    ///< posix-shm:/frame
    unix_socket,  ///< unix:/run/x.sock, unix:@abstract, either with ?type=stream, dgram or seqpacket
    tcp,          ///< tcp:host:port, tcp:[::1]:80
    udp,          ///< udp:host:port
    pid,          ///< pid:4711
};
/// How many schemes there are; their values are 0 to scheme_count - 1.
inline constexpr std::size_t scheme_count = 12;

/// The scheme as it is written in an address, without the colon ("sysv-mq"). Never fails.
[[nodiscard]] KITH_EXPORT std::string_view name_of(scheme mechanism) noexcept;

/// Where and why a text is not an address.
struct address_fault {
    std::size_t position = 0;  ///< offset of the offending byte; the length of the text where something is missing
    std::string_view reason;   ///< a sentence without its full stop; static text
};

/// The name of an object. A value: equal addresses are written alike, but two different ones may still name one
/// object (a key and an id, a path and its link).
class address {
public:
    /// What kind of UNIX socket.
    enum class socket_type : std::uint8_t { stream, datagram, seqpacket };
    /// By what a System V object is named.
    enum class sysv_naming : std::uint8_t {
        key,             ///< a number, the same for everybody in the IPC namespace
        path,            ///< a file and a project number, from which ftok(3) makes the key
        id,              ///< the kernel's id of a living object
        private_object,  ///< IPC_PRIVATE: a new object at every creation
    };

    /// Reads an address. On failure `fault`, where given, says where and why.
    /// Errors: `bad_address`; `unsupported` (a scheme that is reserved for a later version).
    [[nodiscard]] KITH_EXPORT static result<address> parse(std::string_view text, address_fault* fault = nullptr);

    // Addresses of what a program has found or made. Errors of all: `bad_address` (parts that no address can
    // have: an empty or relative name where the grammar wants another, a NUL in a path, a number out of range).

    /// A descriptor of process `pid`, or of whoever reads the address if `pid` is 0.
    [[nodiscard]] KITH_EXPORT static result<address> of_fd(int fd, std::int32_t pid = 0);
    [[nodiscard]] KITH_EXPORT static result<address> of_fifo(std::string_view path);
    /// `mechanism` is sysv_mq, sysv_sem or sysv_shm, here and in the next three.
    [[nodiscard]] KITH_EXPORT static result<address> of_sysv_key(scheme mechanism, std::int32_t key);
    [[nodiscard]] KITH_EXPORT static result<address> of_sysv_path(scheme mechanism, std::string_view path, int project);
    [[nodiscard]] KITH_EXPORT static result<address> of_sysv_id(scheme mechanism, int id);
    [[nodiscard]] KITH_EXPORT static result<address> of_sysv_private(scheme mechanism);
    /// `mechanism` is posix_mq, posix_sem or posix_shm; `name` begins with its only slash.
    [[nodiscard]] KITH_EXPORT static result<address> of_posix(scheme mechanism, std::string_view name);
    [[nodiscard]] KITH_EXPORT static result<address> of_unix_path(std::string_view path,
                                                                  socket_type type = socket_type::stream);
    /// `name` is without the leading NUL of sun_path; every byte of it counts.
    [[nodiscard]] KITH_EXPORT static result<address> of_unix_abstract(std::string_view name,
                                                                      socket_type type = socket_type::stream);
    /// `mechanism` is tcp or udp; `host` is a name or an IPv4 or IPv6 address without brackets.
    [[nodiscard]] KITH_EXPORT static result<address> of_inet(scheme mechanism, std::string_view host,
                                                             std::uint16_t port);
    [[nodiscard]] KITH_EXPORT static result<address> of_pid(std::int32_t pid);

    /// The canonical text: only what must be escaped is, defaults are left out.
    [[nodiscard]] KITH_EXPORT std::string text() const;

    [[nodiscard]] scheme mechanism() const noexcept { return mechanism_; }
    /// fifo, unix: the path or the abstract name; posix-*: the name with its slash; sysv-* by path: the path;
    /// tcp, udp: the host. As bytes, unescaped. Empty for the others.
    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    /// fd: the descriptor.
    [[nodiscard]] int fd() const noexcept { return number_; }
    /// pid: the process. fd: the process that owns the descriptor, 0 for the own one.
    [[nodiscard]] std::int32_t pid() const noexcept { return process_; }
    /// sysv-*: what the object is named by.
    [[nodiscard]] sysv_naming naming() const noexcept { return naming_; }
    /// sysv-* by key: the key.
    [[nodiscard]] std::int32_t key() const noexcept { return number_; }
    /// sysv-* by id: the id.
    [[nodiscard]] int id() const noexcept { return number_; }
    /// sysv-* by path: the project, 1 to 255.
    [[nodiscard]] int project() const noexcept { return number_; }
    /// unix: whether the name is abstract, that is, no path.
    [[nodiscard]] bool is_abstract() const noexcept { return abstract_; }
    /// unix: the type.
    [[nodiscard]] socket_type type() const noexcept { return type_; }
    /// tcp, udp: the port; 0 where a listener takes any free one.
    [[nodiscard]] std::uint16_t port() const noexcept { return static_cast<std::uint16_t>(number_); }

    friend bool operator==(const address&, const address&) = default;

private:
    explicit address(scheme mechanism) noexcept : mechanism_{mechanism} {}
    class reader;

    scheme mechanism_;
    sysv_naming naming_ = sysv_naming::key;
    socket_type type_ = socket_type::stream;
    bool abstract_ = false;
    std::int32_t number_ = 0;   // fd, key, id, project or port
    std::int32_t process_ = 0;  // pid
    std::string name_;
};

}  // namespace kith::inline KITH_ABI
