// unix_message - sendmsg and recvmsg on UNIX sockets, for the three kinds.
#pragma once
#include <kith/sys/unix_socket.hpp>

namespace kith::inline KITH_ABI::detail {

/// Sends `bytes` with `with` beside them; `to` may be null. Returns the count.
[[nodiscard]] result<std::size_t> send_unix(const io_fd& socket, byte_view bytes, const sys::attachments& with,
                                            const sys::unix_name* to, const wait_policy& wait) noexcept;

/// What a size of 0 may mean.
enum class boundaries : std::uint8_t {
    none,      ///< a stream: the end
    packets,   ///< a packet or the end; SO_TIMESTAMP is on and tells
    datagrams  ///< a datagram
};

[[nodiscard]] result<sys::received> receive_unix(const io_fd& socket, boundaries kind, byte_span buffer,
                                                 std::span<owned_fd> descriptors, const wait_policy& wait) noexcept;
/// Without taking the message or any descriptor.
[[nodiscard]] result<sys::received> peek_unix(const io_fd& socket, boundaries kind, byte_span buffer,
                                              const wait_policy& wait) noexcept;

/// SO_TIMESTAMP on: see unix_seqpacket.
[[nodiscard]] result<void> mark_packets(borrowed_fd fd) noexcept;

}  // namespace kith::inline KITH_ABI::detail
