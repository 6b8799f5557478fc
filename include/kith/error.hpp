// kith/error.hpp - what went wrong: one closed list of codes, and the facts that go with a code.
//
// Every call of kith that can fail returns `result<T>` (kith/result.hpp); nothing throws. An error is a
// value of 48 bytes that owns nothing: making, copying and dropping one never allocates. `describe`
// turns it into text, and is the only function here that does.
// Thread safety: values; distinct objects from any threads. Signal handlers: all but describe(). Fork, crash: an error
// holds nothing.
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

#include <kith/version.hpp>

namespace kith::inline KITH_ABI {

/// Why a call failed. The list is closed and its values are stable within 0.x.
enum class errc : std::uint8_t {
    would_block = 1,   ///< nothing there now, or no room now, and the caller would not wait
    timed_out,         ///< the deadline passed
    stopped,           ///< a stop token, a close() by another thread, or (on request) a signal ended the wait
    end_of_stream,     ///< orderly end: every writer is gone and everything was read
    peer_gone,         ///< the other side is gone before its time: broken pipe, reset, refused
    removed,           ///< the object was removed while in use
    not_found,         ///< no such object
    exists,            ///< it must be new, and is not
    not_permitted,     ///< missing right
    wrong_kind,        ///< something else lives under that name
    wrong_size,        ///< the object has another size or other limits than expected
    wrong_type,        ///< the peer uses another type of message, socket or data
    wrong_version,     ///< the peer or the object speaks another version of a format
    wrong_filesystem,  ///< this kind of object cannot live on that file system
    too_long,          ///< a name or a message is over its limit; nothing was sent
    truncated,         ///< a message was cut, or would have been
    invalid,           ///< an argument makes no sense
    bad_address,       ///< the text is not an address
    limit_reached,     ///< a limit on the number of objects or descriptors
    no_space,          ///< the file system, or the system-wide total, is full
    out_of_memory,     ///< the kernel or the process has no memory for it
    unsupported,       ///< this kernel or this mechanism cannot do that
    bad_peer,          ///< the peer broke the protocol
    evicted,           ///< this participant was too slow and lost its place
    lapped,            ///< the data was overwritten before it was read
    forked,            ///< a handle of the parent was used in a forked child
    domain_lost,       ///< the directory that holds the shared objects was removed
    io,                ///< any other failure of the operating system
};

/// The code's name as it is spelled in this file, for logs and JSON. Never fails.
[[nodiscard]] KITH_EXPORT std::string_view name_of(errc code) noexcept;

/// What an error is about: a descriptor, an id, a key, or a (possibly shortened) name. A value; never allocates.
class object_ref {
public:
    /// What identifies the object.
    enum class kind : std::uint8_t {
        none,
        descriptor,  ///< a file descriptor of this process
        process,     ///< a process id
        sysv_key,    ///< a System V key
        sysv_id,     ///< a System V id
        name,        ///< a name or a path
    };
    /// Characters of a name that are kept. Of a longer one the end is kept, behind "...".
    static constexpr std::size_t name_capacity = 30;

    constexpr object_ref() noexcept = default;
    [[nodiscard]] static constexpr object_ref descriptor(int fd) noexcept { return number(kind::descriptor, fd); }
    [[nodiscard]] static constexpr object_ref process(std::int64_t pid) noexcept { return number(kind::process, pid); }
    [[nodiscard]] static constexpr object_ref sysv_key(std::int64_t key) noexcept {
        return number(kind::sysv_key, key);
    }
    [[nodiscard]] static constexpr object_ref sysv_id(int id) noexcept { return number(kind::sysv_id, id); }
    [[nodiscard]] static constexpr object_ref name(std::string_view text) noexcept {
        object_ref ref;
        ref.kind_ = kind::name;
        std::size_t at = 0;
        if (text.size() > name_capacity) {
            for (; at < 3; ++at) ref.text_[at] = '.';
            text.remove_prefix(text.size() - (name_capacity - 3));
        }
        at += text.copy(ref.text_ + at, text.size());
        ref.length_ = static_cast<std::uint8_t>(at);
        return ref;
    }

    [[nodiscard]] constexpr kind what() const noexcept { return kind_; }
    /// The descriptor, process id, key or id; 0 for a name.
    [[nodiscard]] constexpr std::int64_t value() const noexcept {
        if (kind_ == kind::name) return 0;
        std::array<char, sizeof(std::int64_t)> bytes{};
        std::copy_n(text_, bytes.size(), bytes.data());
        return std::bit_cast<std::int64_t>(bytes);
    }
    /// The name, or its end; empty for the other kinds.
    [[nodiscard]] constexpr std::string_view text() const noexcept { return {text_, length_}; }
    friend constexpr bool operator==(const object_ref&, const object_ref&) = default;

private:
    static constexpr object_ref number(kind what, std::int64_t value) noexcept {
        object_ref ref;
        if consteval {
            ref.kind_ = what;
            const auto bytes = std::bit_cast<std::array<char, sizeof value>>(value);
            std::copy_n(bytes.data(), bytes.size(), ref.text_);
        } else {
            // The same in two wide stores: errors are copied at once, and a wide load behind narrow stores is slow.
            using wide [[gnu::vector_size(16)]] = long long;
            static_assert(sizeof ref == 2 * sizeof(wide) && std::endian::native == std::endian::little);
            const wide halves[2] = {{value, 0}, {0, static_cast<long long>(what) << 48}};
            std::memcpy(static_cast<void*>(&ref), halves, sizeof ref);
        }
        return ref;
    }
    char text_[name_capacity] = {};
    kind kind_ = kind::none;
    std::uint8_t length_ = 0;
};

/// A failure: the code, the operating system's error, the operation and the object.
class error {
public:
    /// `operation` must be a string literal (it is kept as a pointer).
    constexpr error(errc code, const char* operation, int os_error = 0, object_ref object = {}) noexcept
        : operation_{operation}, object_{object}, os_error_{os_error}, code_{code} {}

    [[nodiscard]] constexpr errc code() const noexcept { return code_; }
    /// The errno of the failed system call; 0 if kith itself refused.
    [[nodiscard]] constexpr int os_error() const noexcept { return os_error_; }
    /// The system call or step that failed, as "msgsnd" or "fcntl(F_SETPIPE_SZ)".
    [[nodiscard]] constexpr const char* operation() const noexcept { return operation_; }
    [[nodiscard]] constexpr const object_ref& object() const noexcept { return object_; }
    /// The same error, about `object`.
    [[nodiscard]] constexpr error about(object_ref object) const noexcept {
        return {code_, operation_, os_error_, object};
    }

private:
    const char* operation_;
    object_ref object_;
    int os_error_;
    errc code_;
};
static_assert(sizeof(error) <= 48, "an error is passed by value everywhere");
static_assert(std::is_trivially_copyable_v<error>);

/// One sentence: what failed, on what, why, and, where there is one, the next step. Allocates the text.
[[nodiscard]] KITH_EXPORT std::string describe(const error& failure);

/// What to do about it, or an empty text where the code alone does not tell. Never allocates.
[[nodiscard]] KITH_EXPORT std::string_view remedy(const error& failure) noexcept;

/// The errno's symbolic name ("EAGAIN"), or "" for 0 and unknown ones.
[[nodiscard]] KITH_EXPORT std::string_view errno_name(int os_error) noexcept;

}  // namespace kith::inline KITH_ABI
